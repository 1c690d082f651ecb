"""What generated strings must meet: by a mask on the logits where that is exact, by rejection where it is not.

    charset, prefix                      the mask: the other symbols cannot be chosen at all
    min_length, max_length, pattern,     rejection: a string that fails is dropped, and the next one of the seed tried
    novel, unique

A mask on a place is exact for what a place must hold, since places are independent given the latent.  A length could be
masked as well (padding forbidden before, or forced after, a place), but the model's strings end where they end for a
reason: a forced end cuts a word off, and a forbidden one appends letters that no training string would have.  A string
that is rejected leaves the others as they were, so that what is accepted is what the model writes.  A pattern is never
turned into a mask for the same reason: most fix lengths, and which strings a seed gives would hang on how it is put.

T length, V alphabet, N strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.alphabet import PADDING, RESERVED, Alphabet, normalize
from model.automaton import Matcher
from model.errors import InvalidConstraintError, UnsatisfiableError
from model.novelty import Novelty
from model.syntax import Letters

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Constraints:
    """What is asked of every string; None and False ask nothing.

    min_length, max_length: in characters, both included.  charset: the characters that may occur.  prefix: how a
    string begins.  pattern: a regular expression of RE2 that matches the whole string.  unique: no two strings of an
    answer are equal.  novel: no string is a training string.  Texts are taken in NFC.
    """

    min_length: int | None = None
    max_length: int | None = None
    charset: str | None = None
    prefix: str | None = None
    pattern: str | None = None
    unique: bool = False
    novel: bool = False


@dataclass(frozen=True, eq=False)
class Compiled:
    """Constraints made ready for a model.

    mask: (T, V), true for the symbols that may be chosen at each place; None where all may.
    lengths: those that are accepted; None where all are.  pattern, novelty: None where not asked for.
    Several threads may judge by it at the same time: no verdict depends on what was judged before.
    """

    mask: Mask | None = None
    lengths: range | None = None
    pattern: Matcher | None = None
    unique: bool = False
    novelty: Novelty | None = None

    @property
    def rejects(self) -> bool:
        """Whether ``judge`` may refuse a string; if not, it need not be called."""
        return self.unique or not (self.lengths is None and self.pattern is None and self.novelty is None)

    @property
    def at_once(self) -> int | None:
        """How many strings to judge in one go, at most, so that others need not wait for it; None: any number."""
        return None if self.pattern is None else self.pattern.at_once

    def judge(self, texts: Sequence[str], seen: set[str]) -> list[str | None]:
        """For each text, in order, the name of the first constraint that refuses it, or None where it is accepted.

        seen: the accepted strings of the same answer; those accepted here are added if they must be unique.
        """
        refused: list[str | None] = [None] * len(texts)
        if self.lengths is not None:
            low, high = self.lengths.start, self.lengths.stop
            for i, text in enumerate(texts):
                if not low <= len(text) < high:
                    refused[i] = "min_length" if len(text) < low else "max_length"
        if self.pattern is not None:
            for i, text in enumerate(texts):
                if refused[i] is None and not self.pattern.matches(text):
                    refused[i] = "pattern"
        if self.novelty is not None:
            left = [i for i, name in enumerate(refused) if name is None]
            for i, known in zip(left, self.novelty.contains([texts[i] for i in left]).tolist(), strict=True):
                if known:
                    refused[i] = "novel"
        if self.unique:
            for i, text in enumerate(texts):
                if refused[i] is None:
                    if text in seen:
                        refused[i] = "unique"
                    seen.add(text)
        return refused


NONE = Constraints()
FREE = Compiled()


def compile_constraints(
    constraints: Constraints, alphabet: Alphabet, novelty: Novelty | None = None, *, n: int = 1
) -> Compiled:
    """Constraints made ready for a model with this alphabet; FREE if there are none.

    novelty: the model's training strings, only looked at for ``novel``.  n: strings wanted, which must not be more
    than there can be if they are unique.
    Raises InvalidConstraintError for what is no constraint, UnsatisfiableError where no n strings can meet them and
    this can be told.  Neither repeats text that was given.  Any thread may call it; what it costs is bounded.
    """
    if constraints == NONE:
        return FREE
    lengths = _lengths(constraints, alphabet)
    characters = _characters(constraints, alphabet)
    prefix = _prefix(constraints, characters, lengths)
    possible = range(max(lengths.start, len(prefix)), lengths.stop)
    pattern = None
    if constraints.pattern is not None:
        pattern = Matcher(normalize(constraints.pattern), alphabet)
        _check_pattern(pattern, constraints, alphabet, possible, characters, prefix)
    if constraints.novel:
        _check_novelty(novelty, prefix if possible == range(len(prefix), len(prefix) + 1) else None)
    if constraints.unique:
        _check_number(n, len(characters), possible, len(prefix))
    return Compiled(
        mask=_mask(alphabet, characters, prefix),
        # What the prefix and T see to needs no judge.
        lengths=None if possible == range(len(prefix), alphabet.length + 1) else lengths,
        pattern=pattern,
        unique=constraints.unique,
        novelty=novelty if constraints.novel else None,
    )


def _lengths(constraints: Constraints, alphabet: Alphabet) -> range:
    """The lengths that strings may have."""
    for field in ("min_length", "max_length"):
        given = getattr(constraints, field)
        if given is not None and given < 0:
            detail = f"{field} must not be negative, got {given}"
            raise InvalidConstraintError(field, detail, bound="at least 0", given=given)
    shortest, longest, limit = constraints.min_length or 0, constraints.max_length, alphabet.length
    if longest is not None and shortest > longest:
        detail = f"min_length must be at most max_length, {longest}, got {shortest}"
        raise UnsatisfiableError("min_length", detail, bound=f"at most {longest}", given=shortest)
    if shortest > limit:
        detail = f"min_length must be at most {limit}, the most characters that this model writes, got {shortest}"
        raise UnsatisfiableError("min_length", detail, bound=f"at most {limit}", given=shortest)
    return range(shortest, min(limit, limit if longest is None else longest) + 1)


def _characters(constraints: Constraints, alphabet: Alphabet) -> str:
    """The characters of the alphabet that may occur, in its order."""
    if constraints.charset is None:
        return alphabet.characters
    charset = set(normalize(constraints.charset))
    if not charset:
        detail = "charset must hold at least one character, got none: leave it out to allow all"
        raise InvalidConstraintError("charset", detail, bound="at least one character", given=constraints.charset)
    characters = "".join(character for character in alphabet.characters if character in charset)
    if not characters:
        detail = f"charset must hold a character that this model writes, and none of the {len(charset)} given is one"
        raise UnsatisfiableError(
            "charset", detail, bound="characters of the model's alphabet", given=constraints.charset
        )
    return characters


def _prefix(constraints: Constraints, characters: str, lengths: range) -> str:
    """How strings begin; empty if that is not said."""
    prefix = normalize(constraints.prefix or "")
    longest = lengths.stop - 1
    if len(prefix) > longest:
        detail = f"prefix must have at most {longest} characters, as the strings, got {len(prefix)}"
        raise UnsatisfiableError("prefix", detail, bound=f"at most {longest} characters", given=prefix)
    allowed = set(characters)
    if wrong := [place for place, character in enumerate(prefix, 1) if character not in allowed]:
        source = "alphabet" if constraints.charset is None else "alphabet and of charset"
        detail = f"prefix must consist of characters of the model's {source}; character {wrong[0]} is not one"
        raise UnsatisfiableError("prefix", detail, bound=f"characters of the model's {source}", given=prefix)
    return prefix


def _check_pattern(
    pattern: Matcher, constraints: Constraints, alphabet: Alphabet, lengths: range, characters: str, prefix: str
) -> None:
    """Raises UnsatisfiableError if it is certain that nothing meets a pattern and the other constraints."""
    letters, longest = Letters(alphabet.characters), alphabet.length
    every = usual = letters.every
    if len(characters) < len(alphabet.characters):
        usual = letters.of(characters)
    begun = [letters.of(character) for character in prefix] + [usual] * (longest - len(prefix))
    if pattern.meets(begun, lengths):
        return
    # One constraint after the other, so that the message can name those that leave nothing.
    whole, told = range(longest + 1), ""
    if pattern.meets([every] * longest, whole):
        fields = ["charset"]
        if pattern.meets([usual] * longest, whole):
            fields.append("prefix")
            if pattern.meets(begun, range(len(prefix), longest + 1)):
                fields += ["min_length", "max_length"]
        told = " that fits " + " and ".join(name for name in fields if getattr(constraints, name) is not None)
    found = f"of at most {longest} characters of the model's alphabet{told}"
    raise UnsatisfiableError(
        "pattern", f"pattern matches no string {found}", bound=f"match a string {found}", given=constraints.pattern
    )


def _check_novelty(novelty: Novelty | None, only: str | None) -> None:
    """Raises UnsatisfiableError if nothing can be new.  only: the one string that is possible, if it is one."""
    if novelty is None:
        detail = "novel needs a model with hashes of its training strings, and this has none: export its run again"
        raise UnsatisfiableError("novel", detail, bound="false for this model", given=True)
    if only is not None and novelty.contains([only])[0]:
        detail = "novel allows no string: the one that the other constraints allow is a training string"
        raise UnsatisfiableError("novel", detail, bound="false beside these constraints", given=True)


def _check_number(n: int, characters: int, lengths: range, begun: int) -> None:
    """Raises UnsatisfiableError if there are fewer than n strings, of some characters after those begun."""
    count = 0
    for length in lengths:
        count += characters ** (length - begun)
        if count >= n:
            return
    detail = f"unique allows at most {count} strings, since the other constraints allow no more, got {n}"
    raise UnsatisfiableError("unique", detail, bound=f"at most {count} strings", given=True)


def _mask(alphabet: Alphabet, characters: str, prefix: str) -> Mask | None:
    if not prefix and len(characters) == len(alphabet.characters):
        return None
    allowed = set(characters)
    row = np.zeros(alphabet.size, dtype=np.bool_)
    row[PADDING] = True  # the string may end; the unknown symbol stays forbidden
    row[len(RESERVED) :] = [character in allowed for character in alphabet.characters]
    mask = np.tile(row, (alphabet.length, 1))
    if prefix:
        places = np.arange(len(prefix))
        mask[places] = False
        mask[places, alphabet.encode([prefix])[0, : len(prefix)]] = True
    return mask
