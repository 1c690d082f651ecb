"""RE2's syntax, read into a tree.

What a class of characters holds is asked of RE2 itself, so that the two cannot disagree.  What is not read is rare.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from model.expression import Expression, Node, Nodes, UnclearError
from model.pattern import PROPERTY, compile_expression

MAX_CLASSES = 40  # different ones: each is an expression of its own to RE2
PROPERTY_CLASSES = 10  # that one with a property of Unicode counts for: RE2 takes 1 ms for it
MAX_RUNS = 400  # of neighbouring characters, in all classes together
MAX_DEPTH = 50  # of groups in groups

# An expression that RE2 has accepted, atom by atom.
ATOM = re.compile(
    r"""
    (?P<unread> \\[QCE] | (?:[*+?] | \{[0-9]+(?:,[0-9]*)?\}) )     # quoting, bytes, and what repeats across a flag
  | (?P<group> \( (?: \?P?<\w+> | \?[imsU]*(?:-[imsU]+)?: )? )
  | (?P<start> \^ | \\A )
  | (?P<end> \$ | \\z )
  | (?P<border> \\[bB] )
  | (?P<characters>
        \[ \^? \]? (?: \[:\^?\w+:\] | \\. | [^\]\\] )*+ \]
      | \\ (?: [pP](?:\{\^?\w+\}|\w) | x(?:\{[0-9A-Fa-f]+\}|..) | [0-7]{1,3} | . )
      | \.
    )
  | (?P<literal> . )
    """,
    re.VERBOSE | re.DOTALL,
)
FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
REPETITION = re.compile(r"(?:([*+?])|\{(0|[1-9][0-9]*)(,(0|[1-9][0-9]*)?)?\})\??")
REPEATING = frozenset("*+?{")
SIGNS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class _Order(NamedTuple):
    """Characters in the order of their code points, in which a class is a few long runs."""

    encoded: bytes
    places: dict[str, int]
    place_at: dict[int, int]  # of the character that begins at this byte


@lru_cache(maxsize=16)
def _ordered(characters: str) -> _Order:
    ordered = sorted(characters)
    offsets = accumulate((len(character.encode()) for character in ordered), initial=0)
    return _Order(
        "".join(ordered).encode(),
        {character: place for place, character in enumerate(ordered)},
        {offset: place for place, offset in enumerate(offsets)},
    )


class Letters:
    """The characters of an alphabet as bits of a number.

    every: all of them.
    """

    def __init__(self, characters: str) -> None:
        self._order = _ordered(characters)
        self.every = (1 << len(characters)) - 1
        self._classes: dict[str, int] = {}
        self._asked = self._runs = 0

    def place(self, character: str) -> int:
        """Which bit a character has.  Raises UnclearError if it is not in the alphabet."""
        place = self._order.places.get(character)
        if place is None:
            raise UnclearError
        return place

    def of(self, characters: Iterable[str]) -> int:
        """Those of the characters that are in the alphabet."""
        bits, places = 0, self._order.places
        for character in characters:
            if character in places:
                bits |= 1 << places[character]
        return bits

    def matching(self, atom: str, flags: frozenset[str]) -> int:
        """The characters that an atom of an expression matches, under flags i and s.

        Raises UnclearError for too many classes, or classes of too many runs.
        """
        runs = f"(?{''.join(sorted(flags & {'i', 's'}))}:{atom})+"
        if runs not in self._classes:
            self._asked += PROPERTY_CLASSES if PROPERTY.search(atom) else 1
            if self._asked > MAX_CLASSES:
                raise UnclearError
            self._classes[runs] = self._found(runs)
        return self._classes[runs]

    def _found(self, runs: str) -> int:
        bits, place_at = 0, self._order.place_at
        for match in compile_expression(runs).finditer(self._order.encoded):
            self._runs += 1
            if self._runs > MAX_RUNS:
                raise UnclearError
            start, stop = match.span()
            bits |= (1 << place_at[stop]) - (1 << place_at[start])
        return bits


def read(source: str, letters: Letters) -> Expression:
    """The tree of an expression that RE2 has accepted, over an alphabet.  Raises UnclearError if it is not read."""
    reader = _Reader(source, letters)
    root = reader.alternatives(frozenset(), 0)
    if reader.at < len(source):
        raise UnclearError
    return Expression(root, reader.nodes, reader.exact)


class _Reader:
    """Goes through an expression once.  Raises UnclearError at what it does not know."""

    def __init__(self, source: str, letters: Letters) -> None:
        self._source, self._letters = source, letters
        self._literals: dict[tuple[str, frozenset[str]], Node] = {}
        self.at, self.nodes, self.exact = 0, Nodes(), True

    def alternatives(self, flags: frozenset[str], depth: int) -> Node:
        """What stands up to the end, or to the parenthesis that closes the group."""
        choices: list[list[Node]] = [[]]
        while self.at < len(self._source) and (character := self._source[self.at]) != ")":
            if character == "|":
                self.at += 1
                choices.append([])
            elif character == "(" and (found := FLAGS.match(self._source, self.at)) and found[3] == ")":
                self.at = found.end()
                flags = _changed(flags, found)
            else:
                choices[-1].append(self._repeated(self._atom(character, flags, depth)))
        return self.nodes.either([self._joined(parts) for parts in choices])

    def _joined(self, parts: list[Node]) -> Node:
        node: Node = self.nodes.nothing
        for part in reversed(parts):
            node = self.nodes.both(part, node)
        return node

    def _atom(self, character: str, flags: frozenset[str], depth: int) -> Node:
        if character.isalnum():
            self.at += 1
            return self._literal(character, flags)
        found = ATOM.match(self._source, self.at)
        if found is None or found.lastgroup == "unread":
            raise UnclearError
        start, self.at = self.at, found.end()
        atom, kind = found[0], found.lastgroup
        if kind == "group":
            return self._group(start, flags, depth + 1)
        # With the flag m an edge may be that of a line; whether a border of a word is one is not followed up.
        if kind == "border" or (atom in "^$" and "m" in flags):
            self.exact = False
            return self.nodes.nothing
        if kind in ("start", "end"):
            return self.nodes.start if kind == "start" else self.nodes.end
        if kind == "characters":
            return self.nodes.letter(self._letters.matching(atom, flags))
        return self._literal(atom, flags)

    def _literal(self, character: str, flags: frozenset[str]) -> Node:
        key = (character, flags)
        if key not in self._literals:
            folds = "i" in flags
            letters = self._letters.matching(re.escape(character), flags) if folds else self._letters.of(character)
            self._literals[key] = self.nodes.letter(letters)
        return self._literals[key]

    def _group(self, start: int, flags: frozenset[str], depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise UnclearError
        if found := FLAGS.match(self._source, start):
            flags = _changed(flags, found)
        node = self.alternatives(flags, depth)
        self.at += 1  # the parenthesis that closes it
        return node

    def _repeated(self, node: Node) -> Node:
        if self._source[self.at : self.at + 1] not in REPEATING:
            return node
        found = REPETITION.match(self._source, self.at)
        if found is None:
            return node
        self.at = found.end()
        sign, least, comma, most = found.groups()
        if sign:
            return self.nodes.repeat(node, *SIGNS[sign])
        return self.nodes.repeat(node, int(least), int(most) if most else None if comma else int(least))


def _changed(flags: frozenset[str], found: re.Match[str]) -> frozenset[str]:
    return (flags | set(found[1])) - set(found[2] or "")
