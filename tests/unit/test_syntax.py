"""RE2's syntax is read as RE2 means it, or not at all."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import syntax
from model.alphabet import Alphabet
from model.automaton import Automaton
from model.constraints import Constraints, compile_constraints
from model.errors import InvalidConstraintError
from model.expression import UnclearError
from model.pattern import Pattern, compile_expression
from model.syntax import MAX_CLASSES, MAX_RUNS, PROPERTY_CLASSES, Letters, read

ALPHABET = Alphabet("abcdeé", 8)

TOKENS = [*"ab1-é()|*+?[]{}^$.,:", "(?i)", "(?i:", "(?-i:", "(?m)", "(?U)", "(?P<n>", "[^", "[]", "[[:alpha:]", "(?:"]
TOKENS += [
    r"\d",
    r"\w",
    r"\b",
    r"\B",
    r"\A",
    r"\z",
    r"\Q",
    r"\E",
    r"\C",
    r"\pL",
    r"\P{^L}",
    r"\x61",
    r"\141",
    r"\]",
    "\\",
]
TOKENS += ["{2}", "{1,2}", "{0}", "{2,}", "{,2}", "{01}", "A", "[a-b]"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=10).map("".join), st.integers(0, 3), st.integers(0, 3))
def test_what_is_read_matches_what_re2_matches(source: str, low: int, span: int) -> None:
    source += ")" * (source.count("(") - source.count(")"))
    alphabet, lengths = Alphabet("ab1-é", 3), range(low, min(3, low + span) + 1)
    letters = Letters(alphabet.characters)
    try:
        pattern, expression = Pattern(source, 3), read(source, letters)
    except (InvalidConstraintError, UnclearError):
        return
    every = ["".join(text) for n in lengths for text in itertools.product(alphabet.characters, repeat=n)]
    matched = [text for text in every if pattern.matches(text)]
    if expression.exact:
        automaton = Automaton(expression, letters)
        assert [text for text in every if automaton.accepts(text)] == matched
        assert expression.meets([letters.every] * 3, lengths) == bool(matched)
    assert expression.meets([letters.every] * 3, lengths) or not matched


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"[[:alpha:]]+[[:^digit:]]", "ab"),
        (r"[]a]", "a"),
        (r"[^]b]", "a"),
        (r"[\]a]", "a"),
        (r"\p{Latin}\pL\PN[\p{L}\d]", "aaaa"),
        (r"\x61\x{0062}\141\07?", "aba"),
        ("(?i)A(?-i)b", "ab"),
        ("(?i:A)b", "ab"),
        ("(a(?i)B|A)b", "ab"),
        ("(?sU)a.*?", "ab"),
        ("(?m)^a$", "a"),
        ("(?<name>a)(?P<nom>b)", "ab"),
        (r"\Qab\E", "ab"),
        (r"\Aab\z", "ab"),
        (r"\bab\b", "ab"),
        (r"a\Bb", "ab"),
        ("a{,2}|a", "a"),
        ("a{|a", "a"),
        ("a(?i){2}", "aa"),
        ("(?i)\\-?a", "a"),
        (r"\C+", "é"),
        ("^*a$+", "a"),
        ("(" * 60 + "a" + ")" * 60, "a"),
        ("(a{0,100}){0,10}", "a"),
    ],
)
def test_syntax_of_re2_that_can_be_met_is_taken(pattern: str, text: str) -> None:
    compiled = compile_constraints(Constraints(pattern=pattern), ALPHABET)
    assert compiled.judge([text], set()) == [None]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\Qx\E",
        "a(?i){2}",
        r"\C{9}",
        "(" * 60 + "x" + ")" * 60,
        "|".join(f"[a{chr(0x4E00 + i)}]" for i in range(60)),
    ],
)
def test_what_is_not_read_is_not_decided(pattern: str) -> None:
    with pytest.raises(UnclearError):
        read(pattern, Letters(ALPHABET.characters))
    assert compile_constraints(Constraints(pattern=pattern), ALPHABET).rejects


def test_a_class_over_a_large_alphabet_is_what_re2_says() -> None:
    every = "".join(map(chr, range(0x21, 0x500)))
    letters = Letters(every)
    for atom in (r"\pL", r"[^\d]", r"\p{Greek}", ".", r"[\x{100}-\x{200}é]"):
        pattern = Pattern(atom, 1)
        expected = letters.of(c for c in every if pattern.matches(c))
        assert letters.matching(atom, frozenset()) == expected
    assert letters.matching("k", frozenset("i")) == letters.of("kK")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The expressions that RE2 compiles for the classes of a pattern."""
    sources: list[str] = []

    def watched(source: str) -> object:
        sources.append(source)
        return compile_expression(source)

    monkeypatch.setattr(syntax, "compile_expression", watched)
    return sources


def test_a_class_is_asked_of_re2_once(asked: list[str]) -> None:
    read("[a-c][^d][a-c]{3}([^d]|[a-c])*", Letters("abcdeé"))
    assert len(asked) == 2


def test_no_more_classes_are_asked_of_re2_than_the_bound(asked: list[str]) -> None:
    with pytest.raises(UnclearError):
        read("|".join(f"[a{chr(0x4E00 + i)}]" for i in range(90)), Letters("ab"))
    assert len(asked) == MAX_CLASSES
    asked.clear()
    with pytest.raises(UnclearError):
        read("|".join(rf"[\pL{chr(0x4E00 + i)}]" for i in range(16)), Letters("ab"))
    assert len(asked) == MAX_CLASSES // PROPERTY_CLASSES


def test_classes_of_more_runs_than_the_bound_are_not_read() -> None:
    every = "".join(map(chr, range(0x4E00, 0x4E00 + 1690)))
    half = every[::2]
    assert read(f"[{half[:MAX_RUNS]}]", Letters(every)).exact
    with pytest.raises(UnclearError):
        read(f"[{half[: MAX_RUNS + 1]}]", Letters(every))
