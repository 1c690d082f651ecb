"""Whether a regular expression can be met at all, by a string of given lengths and characters.

RE2 does not tell.  Here its syntax is read into a nondeterministic automaton, through which all strings walk at once:
a state is reached after i characters if one of those allowed at each place leads there.  What a class of characters
holds is asked of RE2 itself, so that the two cannot disagree.

The answer "no" is certain.  What is not read (rare syntax) or not finished in time counts as "yes".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from model.pattern import compile_expression

MAX_STATES = 3000
MAX_STEPS = 10_000  # states at all places together: about 5 ms
MAX_CLASSES = 50  # different ones
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


class UnclearError(Exception):
    """The expression is beyond what is read or decided here."""


@dataclass(eq=False, slots=True)
class State:
    """A place between the atoms of an expression.

    letters: the characters that lead on, as bits; None where none is needed.  only_at: "start" or "end" where that is
    the one place of a string at which it leads on.
    """

    nexts: list[State]
    letters: int | None = None
    only_at: str = ""


Build = Callable[[State], State]  # from the state that comes after a part of an expression to the part's first state


class Letters:
    """The characters of an alphabet as bits of a number."""

    def __init__(self, characters: str) -> None:
        # In the order of their code points, a class is a few long runs.
        self._sorted = "".join(sorted(characters))
        self._bit_of = {character: 1 << i for i, character in enumerate(self._sorted)}
        self._classes: dict[str, int] = {}

    def of(self, characters: Iterable[str]) -> int:
        """Those of the characters that are in the alphabet."""
        bits = 0
        for character in characters:
            bits |= self._bit_of.get(character, 0)
        return bits

    def matching(self, atom: str, flags: frozenset[str]) -> int:
        """The characters that an atom of an expression matches, under flags i and s."""
        runs = f"(?{''.join(sorted(flags & {'i', 's'}))}:{atom})+"
        if runs not in self._classes:
            if len(self._classes) == MAX_CLASSES:
                raise UnclearError
            bits = 0
            for match in compile_expression(runs).finditer(self._sorted):
                start, stop = match.span()
                bits |= (1 << stop) - (1 << start)
            self._classes[runs] = bits
        return self._classes[runs]


class Automaton:
    """The automaton of an expression that RE2 has accepted.  Raises UnclearError where it is beyond this module."""

    def __init__(self, source: str, letters: Letters) -> None:
        self._source, self._letters = source, letters
        self._at = self._states = 0
        build = self._alternatives(frozenset(), 0)
        if self._at < len(source):
            raise UnclearError
        self._last = self._state([])
        self._first = build(self._last)

    def meets(self, allowed: Sequence[int], lengths: range) -> bool:
        """Whether some string of one of the lengths is matched; true as well where that takes too long to decide.

        allowed: the bits of the characters that may stand at each place, at least for the longest length.
        """
        steps, states = 0, {self._first}
        for place in range(lengths.stop):
            edges = {"start"} if place == 0 else set()
            if place in lengths and self._last in _spread(states, edges | {"end"}):
                return True
            if place + 1 == lengths.stop:
                break
            reached = _spread(states, edges)
            states = {state.nexts[0] for state in reached if state.letters and state.letters & allowed[place]}
            steps += len(reached)
            if steps > MAX_STEPS:
                return True
        return False

    def _state(self, nexts: list[State], letters: int | None = None, only_at: str = "") -> State:
        self._states += 1
        if self._states > MAX_STATES:
            raise UnclearError
        return State(nexts, letters, only_at)

    def _alternatives(self, flags: frozenset[str], depth: int) -> Build:
        """What stands up to the end, or to the parenthesis that closes the group."""
        choices: list[list[Build]] = [[]]
        while self._at < len(self._source) and self._source[self._at] != ")":
            if self._source[self._at] == "|":
                self._at += 1
                choices.append([])
            elif (found := FLAGS.match(self._source, self._at)) and found[3] == ")":
                self._at = found.end()
                flags = _changed(flags, found)
            else:
                choices[-1].append(self._repeated(self._atom(flags, depth)))
        if len(choices) == 1:
            return lambda after: _joined(choices[0], after)
        return lambda after: self._state([_joined(parts, after) for parts in choices])

    def _atom(self, flags: frozenset[str], depth: int) -> Build:
        found = ATOM.match(self._source, self._at)
        if found is None or found.lastgroup == "unread":
            raise UnclearError
        start, self._at = self._at, found.end()
        atom, kind = found[0], found.lastgroup
        if kind == "group":
            return self._group(start, flags, depth + 1)
        # With the flag m an edge may be that of a line; whether a border of a word is one is not followed up.
        if kind == "border" or (atom in "^$" and "m" in flags):
            return lambda after: after
        if kind in ("start", "end"):
            return lambda after: self._state([after], only_at=kind)
        if kind == "characters":
            letters = self._letters.matching(atom, flags)
        elif "i" in flags:
            letters = self._letters.matching(re.escape(atom), flags)
        else:
            letters = self._letters.of(atom)
        return lambda after: self._state([after], letters)

    def _group(self, start: int, flags: frozenset[str], depth: int) -> Build:
        if depth > MAX_DEPTH:
            raise UnclearError
        if found := FLAGS.match(self._source, start):
            flags = _changed(flags, found)
        build = self._alternatives(flags, depth)
        self._at += 1  # the parenthesis that closes it
        return build

    def _repeated(self, build: Build) -> Build:
        found = REPETITION.match(self._source, self._at)
        if found is None:
            return build
        self._at = found.end()
        sign, least, comma, most = found.groups()
        if sign:
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        else:
            low, high = int(least), int(most) if most else None if comma else int(least)

        def repeated(after: State) -> State:
            if high is None:
                loop = self._state([after])
                loop.nexts.append(build(loop))
                after = loop
            for _ in range((high or low) - low):
                after = self._state([build(after), after])
            for _ in range(low):
                after = build(after)
            return after

        return repeated


def _spread(states: set[State], edges: set[str]) -> set[State]:
    """These states and all that are reached from them without a further character, at edges of the string or not."""
    found, waiting = set(states), list(states)
    while waiting:
        state = waiting.pop()
        if state.letters is None and (not state.only_at or state.only_at in edges):
            fresh = [following for following in state.nexts if following not in found]
            found.update(fresh)
            waiting += fresh
    return found


def _joined(parts: Sequence[Build], after: State) -> State:
    for build in reversed(parts):
        after = build(after)
    return after


def _changed(flags: frozenset[str], found: re.Match[str]) -> frozenset[str]:
    return (flags | set(found[1])) - set(found[2] or "")
