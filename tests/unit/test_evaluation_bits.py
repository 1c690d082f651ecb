from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.alphabet import Alphabet
from training.evaluation.bits import CharacterModel, bits_per_character

ABC = Alphabet("abc", 6)
TEXTS = st.lists(st.text("abc", max_size=6), min_size=1, max_size=6)


@pytest.mark.parametrize("order", [0, 1, 4])
@given(learned=TEXTS, context=st.text("abc", max_size=5))
@settings(max_examples=40, deadline=None)
def test_probabilities_sum_to_1_after_any_context(order, learned, context):
    model = CharacterModel.fit(ABC.encode(learned), ABC.size, order)
    nexts = np.zeros((ABC.size, ABC.length), dtype=np.uint8)
    nexts[:, : len(context)] = ABC.encode([context])[0, : len(context)]
    nexts[:, len(context)] = np.arange(ABC.size)
    p = model.probabilities(nexts)[:, len(context)]
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert (p > 0).all()


def test_probabilities_by_hand():
    # V = 4 (padding, unknown, a, b), learned "ab".  Order 0: c(.) = 3 symbols (a, b, end), t(.) = 3 kinds:
    # p0(a) = (1 + 3/4) / 6 = 7/24, the unknown (0 + 3/4) / 6 = 1/8.  Order 1: c(a) = t(a) = 1:
    # p(b|a) = (1 + 7/24) / 2 = 31/48, p(a|a) = (7/24) / 2 = 7/48, and after b, the end: 31/48 too.
    alphabet = Alphabet("ab", 3)
    model = CharacterModel.fit(alphabet.encode(["ab"]), alphabet.size, 1)
    np.testing.assert_allclose(model.probabilities(alphabet.encode(["ab"])), [[31 / 48, 31 / 48, 31 / 48]])
    np.testing.assert_allclose(model.probabilities(alphabet.encode(["aa"]))[0, 1], 7 / 48)
    # A context never seen, the unknown character, leaves order 0.
    np.testing.assert_allclose(model.probabilities(alphabet.encode(["?a"]))[0, 1], 7 / 24)
    assert model.bits_per_character(alphabet.encode(["ab"])) == pytest.approx(-log2(31 / 48))


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_uniform_memoryless_source_costs_the_logarithm_of_its_characters(order):
    rng = np.random.default_rng(0)
    learned, scored = rng.integers(2, 10, (20_000, 12)), rng.integers(2, 10, (500, 12))
    # Strings of full length have no end, so 8 characters cost 3 bits; the rest is what learning costs.
    assert bits_per_character(scored, learned, 10, order) == pytest.approx(3, abs=0.01)


def test_a_biased_memoryless_source_costs_its_entropy():
    rng = np.random.default_rng(1)
    probabilities = [0.5, 0.25, 0.125, 0.125]
    learned, scored = (2 + rng.choice(4, (5000, 10), p=probabilities) for _ in range(2))
    assert bits_per_character(scored, learned, 6, 0) == pytest.approx(1.75, abs=0.02)


def test_the_end_of_a_string_is_a_symbol_to_be_scored():
    alphabet = Alphabet("a", 4)
    learned = alphabet.encode(["a", "aa"] * 5000)
    # After "a" the string ends or goes on with equal chance, after "aa" it ends: 1 bit over 2, 0 and 1 over 3.
    assert bits_per_character(alphabet.encode(["a"]), learned, 3, 2) == pytest.approx(1 / 2, abs=1e-2)
    assert bits_per_character(alphabet.encode(["aa"]), learned, 3, 2) == pytest.approx(1 / 3, abs=1e-2)
    assert bits_per_character(alphabet.encode([""]), alphabet.encode([""] * 10_000), 3) == pytest.approx(0, abs=1e-2)


def test_deterministic_text_costs_almost_nothing_with_context_and_a_lot_without():
    ids = Alphabet("abcd", 8).encode(["abcdabcd"] * 2000)
    assert bits_per_character(ids, ids, 6, 1) < 0.01
    assert bits_per_character(ids, ids, 6, 0) == pytest.approx(2, abs=0.01)


def test_reverse_bits_see_what_a_repeating_generator_leaves_out():
    alphabet = Alphabet("abcdefgh", 4)
    rng = np.random.default_rng(2)
    text = rng.integers(2, 10, (2000, 4)).astype(np.uint8)
    repeated = np.repeat(text[:1], 2000, axis=0)
    forward, reverse = (bits_per_character(*pair, alphabet.size) for pair in ((repeated, text), (text, repeated)))
    assert forward < 4
    assert reverse > 6


def test_unicode_needs_no_more_than_its_alphabet():
    alphabet = Alphabet("".join(map(chr, range(0x4E00, 0x4E00 + 3000))), 5)
    ids = np.random.default_rng(3).integers(2, alphabet.size, (300, 5)).astype(np.uint16)
    assert log2(1000) < bits_per_character(ids[:150], ids[150:], alphabet.size) < log2(100_000)


def test_learning_or_scoring_nothing_is_refused():
    ids = ABC.encode(["abc"])
    with pytest.raises(ValueError, match="the text to learn must hold at least 1 string"):
        CharacterModel.fit(ids[:0], ABC.size)
    with pytest.raises(ValueError, match="the text to score must hold at least 1 string"):
        CharacterModel.fit(ids, ABC.size).bits_per_character(ids[:0])
    with pytest.raises(ValueError, match="order must be at least 0, got -1"):
        CharacterModel.fit(ids, ABC.size, -1)
