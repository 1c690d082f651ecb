"""Patterns from strangers: refused with a reason, matched as RE2 matches, and never much work at a time."""

from __future__ import annotations

import re
import string
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.alphabet import Alphabet
from model.automaton import Matcher
from model.constraints import Constraints, compile_constraints
from model.errors import ConstraintError, InvalidConstraintError
from model.expression import MAX_DERIVED, Nodes
from model.pattern import MAX_PROPERTIES, MAX_STEPS, STEPS_A_RUN, Pattern

ALPHABET = Alphabet("abcdeé", 8)
LOWER = Alphabet(string.ascii_lowercase, 64)

texts = st.text(alphabet=ALPHABET.characters, max_size=8)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Nodes]:
    """The nodes of the expressions that are read, which count what is derived."""
    made: list[Nodes] = []
    start = Nodes.__init__

    def watched(self: Nodes) -> None:
        start(self)
        made.append(self)

    monkeypatch.setattr(Nodes, "__init__", watched)
    return made


@pytest.fixture
def by_re2(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that RE2 is asked about."""
    seen: list[str] = []
    matches = Pattern.matches

    def watched(self: Pattern, text: str) -> bool:
        seen.append(text)
        return matches(self, text)

    monkeypatch.setattr(Pattern, "matches", watched)
    return seen


PATTERNS = [
    "a*b",
    "[a-c]{2,3}",
    "(ab|ba)+",
    "a?b?c?",
    "é.*",
    "(?i)A[B-D]*",
    "[^a]+",
    "",
    "a|",
    "(a*)*b",
    r"\w*",
    "^ab$",
]


@settings(deadline=None)
@given(st.sampled_from(PATTERNS), st.lists(texts, min_size=20))
def test_what_is_accepted_matches_the_pattern_as_a_whole(pattern: str, strings: list[str]) -> None:
    verdicts = compile_constraints(Constraints(pattern=pattern), ALPHABET).judge(strings, set())
    assert [name is None for name in verdicts] == [bool(re.fullmatch(pattern, text, re.ASCII)) for text in strings]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a", "a parenthesis is not closed"),
        ("a)", "a parenthesis is closed that was not opened"),
        ("[a", "a bracket is not closed"),
        ("[b-a]", "a range or class"),
        (r"\p{Klingon}", "a range or class"),
        ("*a", "nothing to repeat"),
        ("a**", "put the first into parentheses"),
        ("a++", "put the first into parentheses"),
        ("a{1001}", "more than 1000 times"),
        ("(a{1000}){1000}", "more than 1000 times"),
        ("a{1000}{1000}", "a repetition follows another"),
        (r"(a)\1", "backreferences are not supported"),
        ("(?P<x>a)(?P=x)", "backreferences and atomic groups are not supported"),
        ("(?=a)a", "lookarounds"),
        ("(?!a)b", "lookarounds"),
        ("(?<=a)b", "lookarounds"),
        ("(?<!a)b", "lookarounds"),
        ("(?>a)", "atomic groups"),
        ("a\\", "ends in a backslash"),
        ("\udfff", "half of a surrogate pair"),
        (r"(\pL{1,30} ){1,30}", "too large once its repetitions are written out"),
        (r"(\pL+ ){27}", "too large once its repetitions are written out"),
    ],
)
def test_what_is_no_expression_of_re2_is_refused_with_a_reason(pattern: str, reason: str) -> None:
    with pytest.raises(InvalidConstraintError) as caught:
        compile_constraints(Constraints(pattern=pattern), ALPHABET)
    assert caught.value.field == "pattern"
    assert reason in str(caught.value)


def test_more_properties_of_unicode_than_the_bound_are_refused_before_re2_reads_them() -> None:
    assert Pattern(r"\p{Lu}|" * MAX_PROPERTIES, 1).matches("A")
    with pytest.raises(InvalidConstraintError, match=f"at most {MAX_PROPERTIES} properties of Unicode, got 17"):
        Pattern(r"\pL" * (MAX_PROPERTIES + 1), 1)


# Hostile patterns

HOSTILE = [
    "(a*)*b",
    "(a|a)*$",
    "(a|b|ab)*c",
    "(?:a?){200}a{200}",
    "(.*.*){100}x",
    "((a|b)*a(a|b){30}){9}",
    "(([ab]?){30}a){30}",
    "((a{0,100}){0,10})*",
    "(x*){1000}",
    "(a+)+$",
    "([a-z]+)*[0-9]",
    "|".join(["a"] * 500),
    "(" * 499 + ")" * 499,
    "[" * 500,
    "(" * 1000,
    "a?" * 500,
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_a_hostile_pattern_ends(pattern: str) -> None:
    """Python's re would not end on some of these within the age of the universe."""
    alphabet = Alphabet(string.ascii_lowercase, 64)
    try:
        compiled = compile_constraints(Constraints(pattern=pattern), alphabet)
    except ConstraintError:
        return
    strings = ["a" * 64, "ab" * 32, "a" * 63 + "b", "b" * 64] * 64
    assert len(compiled.judge(strings, set())) == 256


def test_a_pattern_whose_states_do_not_fit_in_memory_still_judges_rightly() -> None:
    draw = np.random.default_rng(0)
    strings = ["".join(draw.choice(["a", "b"], size=64)) for _ in range(200)]
    verdicts = compile_constraints(Constraints(pattern="[ab]*a[ab]{40}"), Alphabet("ab", 64)).judge(strings, set())
    assert [name is None for name in verdicts] == [text[-41] == "a" for text in strings]


def test_longer_strings_leave_less_room_for_a_pattern() -> None:
    source = "[a-z]{500}"
    assert Pattern(source, 8).matches("a" * 500)
    with pytest.raises(InvalidConstraintError, match="too large"):
        Pattern(source, MAX_STEPS // 500 + 1)


# What judging costs


def test_a_pattern_that_was_read_is_matched_without_re2(by_re2: list[str]) -> None:
    verdicts = compile_constraints(Constraints(pattern="[a-c]{2,3}|d.*"), ALPHABET).judge(
        ["ab", "a", "dé"] * 100, set()
    )
    assert verdicts == [None, "pattern", None] * 100
    assert by_re2 == []


def test_strings_that_were_followed_once_cost_no_more_work(kept: list[Nodes]) -> None:
    compiled, strings = compile_constraints(Constraints(pattern="(ab|ba)*c?"), ALPHABET), ["abba", "ababc", "aab"]
    first = compiled.judge(strings, set())
    derived = kept[-1].derived
    assert compiled.judge(strings * 100, set()) == first * 100
    assert kept[-1].derived == derived


def test_characters_that_an_expression_does_not_tell_apart_are_worked_out_once(kept: list[Nodes]) -> None:
    alphabet = Alphabet("a" + "".join(map(chr, range(0x4E00, 0x4E00 + 1689))), 64)
    compiled = compile_constraints(Constraints(pattern="[^a]*a[^a]*"), alphabet)
    assert compiled.judge(["a" + other for other in alphabet.characters[1:]], set()) == [None] * 1689
    assert kept[-1].derived < 20


def test_a_character_that_the_alphabet_lacks_is_left_to_re2(by_re2: list[str]) -> None:
    assert Matcher("[^a]*", ALPHABET).matches("bx")
    assert by_re2 == ["bx"]


@pytest.mark.parametrize("pattern", ["[ab]*a[ab]{40}", "(([ab]?){30}a){30}", "(?:[ab]{0,30}a){20}"])
def test_where_the_tables_would_grow_too_large_re2_decides(pattern: str, kept: list[Nodes], by_re2: list[str]) -> None:
    draw = np.random.default_rng(0)
    strings = ["".join(draw.choice(["a", "b"], size=64)) for _ in range(100)]
    verdicts = compile_constraints(Constraints(pattern=pattern), LOWER).judge(strings, set())
    assert len(kept[-1]._after) <= MAX_DERIVED
    assert by_re2
    assert [name is None for name in verdicts] == [bool(Pattern(pattern, 64).matches(text)) for text in strings]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_strings_judged_at_once_are_at_most_the_steps_of_a_run(pattern: str) -> None:
    try:
        matcher = Matcher(pattern, LOWER)
    except InvalidConstraintError:
        return
    assert 1 <= matcher.at_once <= max(1, STEPS_A_RUN // Pattern(pattern, 64).steps)


def test_constraints_without_a_pattern_judge_any_number_at_once() -> None:
    assert compile_constraints(Constraints(unique=True, max_length=3), ALPHABET).at_once is None
    assert (compile_constraints(Constraints(pattern="a*"), ALPHABET).at_once or 0) > 10_000


def test_threads_that_share_constraints_judge_as_one_alone() -> None:
    draw = np.random.default_rng(1)
    strings = ["".join(draw.choice(list("abc"), size=12)) for _ in range(500)]
    asked = Constraints(pattern="(?:[ab]*c[abc]{3}|b+(ac?)*)*")
    alone = compile_constraints(asked, LOWER).judge(strings, set())
    shared = compile_constraints(asked, LOWER)
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda part: shared.judge(part, set()), [strings] * 8))
    assert verdicts == [alone] * 8
    assert None in alone
    assert "pattern" in alone
