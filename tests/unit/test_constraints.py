"""Constraints: a mask where it is exact, rejection elsewhere, and an error at once where nothing can meet them."""

from __future__ import annotations

import itertools
import re
import string

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model import automaton
from model.alphabet import PADDING, RESERVED, UNKNOWN, Alphabet
from model.automaton import Automaton, Letters, UnclearError
from model.constraints import FREE, Constraints, compile_constraints
from model.decoding import Decoding, decode
from model.errors import ConfigurationError, ConstraintError, InvalidConstraintError, UnsatisfiableError
from model.novelty import Novelty
from model.pattern import MAX_CHARACTERS, MAX_STEPS, Pattern

T = 8
ALPHABET = Alphabet("abcdeé", T)
NAMES = ["ada", "bea", "dee"]
NOVELTY = Novelty.of(ALPHABET.encode(NAMES), ALPHABET, "a digest")

SMALL = Alphabet("ab", 4)
EVERY_SMALL = ["".join(letters) for n in range(5) for letters in itertools.product("ab", repeat=n)]

texts = st.text(alphabet=ALPHABET.characters, max_size=T)


def refused(constraints: Constraints, alphabet: Alphabet = ALPHABET, n: int = 1) -> ConstraintError:
    """The error of constraints that cannot be taken."""
    with pytest.raises(ConstraintError) as caught:
        compile_constraints(constraints, alphabet, n=n)
    return caught.value


def judge(constraints: Constraints, *strings: str) -> list[str | None]:
    return compile_constraints(constraints, ALPHABET, NOVELTY).judge(strings, set())


def written(constraints: Constraints, logits: np.ndarray, temperature: float | None = None) -> list[str]:
    """The strings that a model with these logits (N, T, V) writes under the mask."""
    compiled = compile_constraints(constraints, ALPHABET)
    ids = decode(logits.copy(), Decoding(temperature=temperature, mask=compiled.mask), seed=0, first=0)
    return ALPHABET.decode(ids)


# Asking nothing


@pytest.mark.parametrize("constraints", [Constraints(), Constraints(min_length=None, unique=False)])
def test_no_constraints_are_one_object_that_never_rejects(constraints: Constraints) -> None:
    compiled = compile_constraints(constraints, ALPHABET)
    assert compiled is FREE
    assert (compiled.mask, compiled.rejects) == (None, False)


@pytest.mark.parametrize(
    "constraints",
    [
        Constraints(min_length=0, max_length=T),
        Constraints(max_length=10**9),
        Constraints(charset="edcbaé and more"),
        Constraints(prefix=""),
    ],
)
def test_what_every_string_meets_costs_neither_a_mask_nor_a_judge(constraints: Constraints) -> None:
    compiled = compile_constraints(constraints, ALPHABET)
    assert (compiled.mask, compiled.rejects) == (None, False)


def test_what_a_mask_meets_needs_no_judge() -> None:
    compiled = compile_constraints(Constraints(charset="abc", prefix="ab", min_length=2), ALPHABET)
    assert compiled.mask is not None
    assert not compiled.rejects


# The mask

prefixes = st.text(alphabet="abé", max_size=T)


@settings(deadline=None)
@given(
    logits_seed=st.integers(0, 2**32 - 1),
    charset=st.sampled_from(["abé", "abcdé", "éab xyz", "abe\u0301"]),
    prefix=prefixes,
    temperature=st.sampled_from([None, 0.1, 1.0, 10.0]),
)
def test_any_logits_meet_charset_and_prefix(
    logits_seed: int, charset: str, prefix: str, temperature: float | None
) -> None:
    logits = np.random.default_rng(logits_seed).normal(scale=5, size=(20, T, ALPHABET.size)).astype(np.float32)
    for text in written(Constraints(charset=charset, prefix=prefix), logits, temperature):
        assert text.startswith(prefix)
        assert set(text) <= set("abcdé") & (set(charset) | {"é"})


@settings(deadline=None)
@given(logits_seed=st.integers(0, 2**32 - 1), charset=st.sets(st.sampled_from("abcdeé"), min_size=1))
def test_a_string_that_meets_the_constraints_is_left_as_it_is(logits_seed: int, charset: set[str]) -> None:
    logits = np.random.default_rng(logits_seed).normal(size=(20, T, ALPHABET.size)).astype(np.float32)
    logits[:, :, PADDING] += 1.0
    free, masked = written(Constraints(), logits), written(Constraints(charset="".join(sorted(charset))), logits)
    assert [a for a, b in zip(free, masked, strict=True) if set(a) <= charset and a != b] == []


def test_the_mask_allows_padding_but_not_within_the_prefix_and_never_the_unknown_symbol() -> None:
    mask = compile_constraints(Constraints(charset="abc", prefix="ab"), ALPHABET).mask
    assert mask is not None
    assert mask.shape == (T, ALPHABET.size)
    assert mask[:, PADDING].tolist() == [False] * 2 + [True] * (T - 2)
    assert not mask[:, UNKNOWN].any()
    assert mask[:2].sum(axis=1).tolist() == [1, 1]
    assert mask[2:, len(RESERVED) :].all(axis=0).tolist() == [True, True, True, False, False, False]


def test_a_prefix_may_fill_the_whole_string() -> None:
    logits = np.zeros((3, T, ALPHABET.size), dtype=np.float32)
    assert written(Constraints(prefix="abcdeabc"), logits) == ["abcdeabc"] * 3


def test_texts_are_taken_in_nfc() -> None:
    decomposed = Constraints(prefix="e\u0301", charset="ae\u0301", pattern="e\u0301*")
    composed = compile_constraints(Constraints(prefix="é", charset="aé", pattern="é*"), ALPHABET)
    compiled = compile_constraints(decomposed, ALPHABET)
    assert compiled.mask is not None
    assert np.array_equal(compiled.mask, composed.mask)  # type: ignore[arg-type]
    assert compiled.judge(["éé", "éa"], set()) == [None, "pattern"]


# Rejection


def test_each_constraint_refuses_under_its_own_name() -> None:
    every = Constraints(min_length=2, max_length=4, pattern="[a-e]+", unique=True, novel=True)
    strings = ["a", "abcde", "éa", "ada", "abc", "abc", "abcd"]
    names = ["min_length", "max_length", "pattern", "novel", None, "unique", None]
    assert judge(every, *strings) == names


@settings(deadline=None)
@given(st.lists(texts), st.integers(0, T), st.integers(0, T))
def test_what_is_accepted_has_an_allowed_length(strings: list[str], low: int, span: int) -> None:
    verdicts = judge(Constraints(min_length=low, max_length=low + span), *strings)
    assert [name is None for name in verdicts] == [low <= len(text) <= low + span for text in strings]


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
    verdicts = judge(Constraints(pattern=pattern), *strings)
    assert [name is None for name in verdicts] == [bool(re.fullmatch(pattern, text, re.ASCII)) for text in strings]


@settings(deadline=None)
@given(st.lists(st.lists(st.text(alphabet="ab", max_size=2)), max_size=5))
def test_unique_strings_are_unique_over_all_slices_of_an_answer(slices: list[list[str]]) -> None:
    compiled, seen = compile_constraints(Constraints(unique=True), ALPHABET), set[str]()
    accepted = [
        text for part in slices for text, name in zip(part, compiled.judge(part, seen), strict=True) if name is None
    ]
    every = [text for part in slices for text in part]
    assert accepted == list(dict.fromkeys(every))


def test_a_refused_string_is_not_remembered_as_seen() -> None:
    seen = set[str]()
    compile_constraints(Constraints(unique=True, max_length=2), ALPHABET).judge(["abc", "ab"], seen)
    assert seen == {"ab"}


def test_without_unique_nothing_is_remembered() -> None:
    seen = set[str]()
    compile_constraints(Constraints(min_length=1), ALPHABET).judge(["abc", "ab"], seen)
    assert seen == set()


def test_novel_strings_are_no_training_strings() -> None:
    assert judge(Constraints(novel=True), "ada", "adab", "", "dee") == ["novel", None, None, "novel"]


# What cannot be met, at once


@pytest.mark.parametrize(
    ("constraints", "field", "message"),
    [
        (Constraints(min_length=5, max_length=3), "min_length", "must be at most max_length, 3, got 5"),
        (Constraints(min_length=9), "min_length", "must be at most 8, the most characters .* got 9"),
        (Constraints(prefix="abcdeabcd"), "prefix", "at most 8 characters, as the strings, got 9"),
        (Constraints(prefix="abc", max_length=2), "prefix", "at most 2 characters, as the strings, got 3"),
        (Constraints(prefix="axb"), "prefix", "of the model's alphabet; character 2 is not one"),
        (Constraints(prefix="ab\0"), "prefix", "character 3 is not one"),
        (Constraints(prefix="\ud800"), "prefix", "character 1 is not one"),
        (Constraints(prefix="ab", charset="bc"), "prefix", "alphabet and of charset; character 1 is not one"),
        (Constraints(charset="xyz"), "charset", "none of the 3 given is one"),
        (Constraints(charset="\udfff"), "charset", "none of the 1 given is one"),
        (Constraints(novel=True), "novel", "needs a model with hashes .* this has none"),
    ],
)
def test_what_no_string_can_meet_is_refused_at_once(constraints: Constraints, field: str, message: str) -> None:
    error = refused(constraints)
    assert type(error) is UnsatisfiableError
    assert error.field == field
    assert error.bound
    assert re.search(message, str(error))


@pytest.mark.parametrize(
    ("constraints", "field", "number"),
    [
        (Constraints(min_length=-1), "min_length", -1),
        (Constraints(max_length=-7), "max_length", -7),
        (Constraints(charset=""), "charset", 0),
        (Constraints(pattern="a" * (MAX_CHARACTERS + 1)), "pattern", MAX_CHARACTERS + 1),
    ],
)
def test_what_is_no_constraint_is_told_apart_from_what_cannot_be_met(
    constraints: Constraints, field: str, number: int
) -> None:
    error = refused(constraints)
    assert type(error) is InvalidConstraintError
    assert isinstance(error, ConfigurationError)
    assert (error.field, error.given) == (field, number)


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
    error = refused(constraints)
    assert type(error) is UnsatisfiableError
    assert error.field == "pattern"
    assert str(error).endswith(message)


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
    error = refused(Constraints(pattern=pattern))
    assert type(error) is InvalidConstraintError
    assert error.field == "pattern"
    assert reason in str(error)


@pytest.mark.parametrize(
    "constraints",
    [
        Constraints(pattern="(secret"),
        Constraints(pattern=r"\p{secret}"),
        Constraints(pattern="[secret"),
        Constraints(pattern="(?=secret)"),
        Constraints(pattern="secret"),
        Constraints(prefix="secret"),
        Constraints(charset="srt"),
        Constraints(pattern="a", prefix="secret"),
    ],
)
def test_no_error_repeats_text_that_was_given(constraints: Constraints) -> None:
    error = refused(constraints)
    assert "secret" not in f"{error} {error.bound}"
    assert "srt" not in f"{error} {error.bound}"


def test_more_unique_strings_than_there_are_is_refused_at_once() -> None:
    assert compile_constraints(Constraints(unique=True, charset="ab", max_length=2), ALPHABET, n=7).rejects
    error = refused(Constraints(unique=True, charset="ab", max_length=2), n=8)
    assert type(error) is UnsatisfiableError
    assert (error.field, error.given) == ("unique", 8)
    assert "at most 7 strings" in str(error)
    error = refused(Constraints(unique=True, prefix="ab", charset="abc", min_length=3, max_length=3), n=4)
    assert "at most 3 strings" in str(error)
    assert compile_constraints(Constraints(unique=True), Alphabet("ab", 512), n=10**7).rejects


def test_new_strings_where_the_only_one_is_a_training_string_are_refused_at_once() -> None:
    with pytest.raises(UnsatisfiableError, match="novel allows no string"):
        compile_constraints(Constraints(novel=True, prefix="ada", max_length=3), ALPHABET, NOVELTY)
    assert compile_constraints(Constraints(novel=True, prefix="adb", max_length=3), ALPHABET, NOVELTY).rejects
    assert compile_constraints(Constraints(novel=True, prefix="ada", max_length=4), ALPHABET, NOVELTY).rejects


# Whether a pattern can be met: certain where it says no


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
def test_what_is_called_impossible_is_impossible_to_re2(source: str, low: int, span: int) -> None:
    source += ")" * (source.count("(") - source.count(")"))
    alphabet = Alphabet("ab1-é", 3)
    letters, lengths = Letters(alphabet.characters), range(low, min(3, low + span) + 1)
    try:
        pattern, read = Pattern(source, 3), Automaton(source, letters)
    except (InvalidConstraintError, UnclearError):
        return
    if not read.meets([letters.of(alphabet.characters)] * 3, lengths):
        every = ("".join(text) for n in lengths for text in itertools.product(alphabet.characters, repeat=n))
        assert [text for text in every if pattern.matches(text)] == []


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
        "(a{900}){0,1}a{900}b{900}|(a{900}b{900})",
        "|".join(f"[a{chr(0x4E00 + i)}]" for i in range(60)),
    ],
)
def test_what_is_not_read_is_not_decided(pattern: str) -> None:
    letters = Letters(ALPHABET.characters)
    with pytest.raises(UnclearError):
        Automaton(pattern, letters)


def test_what_takes_too_long_to_decide_counts_as_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Constraints(pattern="(a?b?){4}x")
    assert refused(asked).field == "pattern"
    monkeypatch.setattr(automaton, "MAX_STEPS", 10)
    assert compile_constraints(asked, ALPHABET).rejects


def test_a_class_over_a_large_alphabet_is_what_re2_says() -> None:
    every = "".join(map(chr, range(0x21, 0x500)))
    letters = Letters(every)
    for atom in (r"\pL", r"[^\d]", r"\p{Greek}", ".", r"[\x{100}-\x{200}é]"):
        pattern = Pattern(atom, 1)
        expected = letters.of(c for c in every if pattern.matches(c))
        assert letters.matching(atom, frozenset()) == expected
    assert letters.matching("k", frozenset("i")) == letters.of("kK")


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
