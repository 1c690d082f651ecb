"""Whether a pattern can be met is decided at once where it can be: certain where it says no, and never much work."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model import expression
from model.alphabet import Alphabet
from model.constraints import Constraints, compile_constraints
from model.errors import UnsatisfiableError
from model.expression import MAX_WALKED, UnclearError, Walk
from model.syntax import Letters, read

T = 8
ALPHABET = Alphabet("abcdeé", T)
SMALL = Alphabet("ab", 4)
EVERY_SMALL = ["".join(letters) for n in range(5) for letters in itertools.product("ab", repeat=n)]


def walked(pattern: str, length: int) -> int:
    """Nodes walked through to decide a pattern."""
    letters = Letters("ab")
    walk = Walk([letters.every] * length)
    walk.ends(read(pattern, letters).root, 1)
    return walk.walked


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (Constraints(pattern="x"), "of at most 8 characters of the model's alphabet"),
        (Constraints(pattern="a{9}"), "of at most 8 characters of the model's alphabet"),
        (Constraints(pattern="[ab]{4,}c{5}"), "of at most 8 characters of the model's alphabet"),
        (Constraints(pattern="a^b"), "of at most 8 characters of the model's alphabet"),
        (Constraints(pattern=r"(?:a\z)b"), "of at most 8 characters of the model's alphabet"),
        (Constraints(pattern=r"[A-Z]\d+"), "of at most 8 characters of the model's alphabet"),
        (Constraints(pattern="a+", charset="bc"), "alphabet that fits charset"),
        (Constraints(pattern="a+", prefix="ab"), "alphabet that fits prefix"),
        (Constraints(pattern="[ab]c[ab]*", prefix="b", charset="ab"), "alphabet that fits charset"),
        (Constraints(pattern="a[bc]+", prefix="ba", charset="abc"), "alphabet that fits charset and prefix"),
        (Constraints(pattern="(abc)*", min_length=4, max_length=5), "alphabet that fits min_length and max_length"),
        (Constraints(pattern="a{3}", prefix="a", min_length=4), "alphabet that fits prefix and min_length"),
        (Constraints(pattern="a{3}", max_length=2), "alphabet that fits max_length"),
    ],
)
def test_a_pattern_that_cannot_be_met_is_refused_beside_what_it_contradicts(
    constraints: Constraints, message: str
) -> None:
    with pytest.raises(UnsatisfiableError) as caught:
        compile_constraints(constraints, ALPHABET)
    assert caught.value.field == "pattern"
    assert str(caught.value).endswith(message)


def patterns(letters: str) -> st.SearchStrategy[str]:
    """Expressions that mean the same to RE2 and to Python's re, on texts without line ends."""
    atoms = st.sampled_from(
        [*letters, ".", "c", "[ab]", "[^a]", "[b-z]", r"\w", r"\d", r"[\w-]", r"\x61", "^", "$", "()"]
    )
    bounds = st.tuples(st.integers(0, 3), st.integers(0, 2)).map(lambda pair: f"{{{pair[0]},{sum(pair)}}}")
    repeats = st.one_of(st.sampled_from(["*", "+", "?", "{2}", "{1,}", "*?", "{0}"]), bounds)
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.tuples(inner, repeats).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
            st.lists(inner, min_size=2, max_size=4).map("".join),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
            inner.map(lambda part: f"(?i:{part.upper() if part in 'ab' else part})"),
        ),
        max_leaves=8,
    )


@settings(deadline=None)
@given(
    pattern=patterns("ab"),
    prefix=st.text(alphabet="ab", max_size=2),
    charset=st.sampled_from([None, "a", "b"]),
    low=st.integers(0, 4),
    span=st.integers(0, 4),
)
@example(pattern="a^b", prefix="", charset=None, low=0, span=4)
@example(pattern="(?:^a|b$)+", prefix="", charset=None, low=2, span=2)
@example(pattern="(?:$)*", prefix="", charset=None, low=0, span=0)
def test_a_pattern_is_refused_exactly_where_no_string_meets_it_and_the_others(
    pattern: str, prefix: str, charset: str | None, low: int, span: int
) -> None:
    asked = Constraints(pattern=pattern, prefix=prefix, charset=charset, min_length=low, max_length=low + span)
    expression = re.compile(pattern)
    possible = [
        text
        for text in EVERY_SMALL
        if text.startswith(prefix)
        and set(text) <= set(charset or "ab")
        and low <= len(text) <= low + span
        and expression.fullmatch(text)
    ]
    try:
        compiled = compile_constraints(asked, SMALL)
    except UnsatisfiableError:
        assert possible == []
        return
    assert possible != []
    assert [text for text, name in zip(possible, compiled.judge(possible, set()), strict=True) if name] == []


@pytest.mark.parametrize("pattern", ["a{900}b{900}", "(a{0,100}){0,10}b", "((a{0,9}){0,9})*b", "(a|b|ab)*$"])
def test_deciding_costs_what_strings_are_long_and_not_what_an_expression_is_written_out(pattern: str) -> None:
    assert walked(pattern, 32) < walked(pattern, 64) < 6 * 64


def test_what_takes_too_long_to_decide_counts_as_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Constraints(pattern="(a?b?){4}c{9}")
    with pytest.raises(UnsatisfiableError):
        compile_constraints(asked, ALPHABET)
    monkeypatch.setattr(expression, "MAX_WALKED", 10)
    assert compile_constraints(asked, ALPHABET).rejects


def test_no_more_nodes_are_walked_through_than_the_bound() -> None:
    letters = Letters("ab")
    hard, walk = read("((a?b?){99}a){9}" * 9, letters), Walk([letters.every] * 1000)
    with pytest.raises(UnclearError):
        walk.ends(hard.root, 1)
    assert walk.walked == MAX_WALKED + 1 <= 2001
    assert hard.meets([letters.every] * 1000, range(1001))
