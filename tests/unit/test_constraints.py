"""Constraints: a mask where it is exact, rejection elsewhere, and an error at once where nothing can meet them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.alphabet import PADDING, RESERVED, UNKNOWN, Alphabet
from model.constraints import FREE, Constraints, compile_constraints
from model.decoding import Decoding, decode
from model.errors import ConfigurationError, ConstraintError, InvalidConstraintError, UnsatisfiableError
from model.novelty import Novelty
from model.pattern import MAX_CHARACTERS

T = 8
ALPHABET = Alphabet("abcdeé", T)
NAMES = ["ada", "bea", "dee"]
NOVELTY = Novelty.of(ALPHABET.encode(NAMES), ALPHABET, "a digest")

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
    ("constraints", "field"),
    [
        (Constraints(min_length=-1), "min_length"),
        (Constraints(max_length=-7), "max_length"),
        (Constraints(charset=""), "charset"),
        (Constraints(pattern="a" * (MAX_CHARACTERS + 1)), "pattern"),
    ],
)
def test_what_is_no_constraint_is_told_apart_from_what_cannot_be_met(constraints: Constraints, field: str) -> None:
    error = refused(constraints)
    assert type(error) is InvalidConstraintError
    assert isinstance(error, ConfigurationError)
    assert (error.field, error.given) == (field, getattr(constraints, field))


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
    assert (error.field, error.given) == ("unique", True)
    assert "at most 7 strings" in str(error)
    error = refused(Constraints(unique=True, prefix="ab", charset="abc", min_length=3, max_length=3), n=4)
    assert "at most 3 strings" in str(error)
    assert compile_constraints(Constraints(unique=True), Alphabet("ab", 512), n=10**7).rejects


def test_new_strings_where_the_only_one_is_a_training_string_are_refused_at_once() -> None:
    with pytest.raises(UnsatisfiableError, match="novel allows no string"):
        compile_constraints(Constraints(novel=True, prefix="ada", max_length=3), ALPHABET, NOVELTY)
    assert compile_constraints(Constraints(novel=True, prefix="adb", max_length=3), ALPHABET, NOVELTY).rejects
    assert compile_constraints(Constraints(novel=True, prefix="ada", max_length=4), ALPHABET, NOVELTY).rejects
