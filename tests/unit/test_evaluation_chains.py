from collections import Counter

import numpy as np
import pytest

from model.alphabet import Alphabet
from training.evaluation.chains import MarkovChain

ABC = Alphabet("abcd", 8)


def sampled(texts, order, n=50, alphabet=ABC, seed=0):
    return alphabet.decode(MarkovChain.fit(alphabet.encode(texts), alphabet.size, order).sample(n, seed))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_a_chain_reproduces_text_whose_next_character_its_context_decides(order):
    assert set(sampled(["abcd"], order)) == {"abcd"}
    # After k times a comes b: a context of at least k characters (start included) knows it.
    assert set(sampled(["a" * (order - 1) + "b"], order)) == {"a" * (order - 1) + "b"}


def test_a_context_that_is_too_short_does_not():
    texts = ["aaab"]
    assert set(sampled(texts, 3)) == {"aaab"}
    assert len(set(sampled(texts, 2))) > 1


def test_a_chain_that_remembers_the_whole_string_copies():
    texts = ["abca", "bcd", "d", "", "ccccdddd"]
    assert set(sampled(texts, 8, n=500)) == set(texts)


def test_next_characters_come_with_the_frequencies_of_the_text():
    # After "a": b three times, c once, the end twice; 6 strings start with a, 2 with b.
    texts = ["ab", "ab", "ab", "ac", "a", "a", "b", "b"]
    found = Counter(sampled(texts, 2, n=20_000))
    expected = {text: share / len(texts) for text, share in Counter(texts).items()}
    assert found.keys() == expected.keys()
    for text, share in expected.items():
        assert found[text] / 20_000 == pytest.approx(share, abs=4 * (share * (1 - share) / 20_000) ** 0.5)


def test_order_1_mixes_what_order_2_keeps_apart():
    texts = ["aab", "cad"]
    assert set(sampled(texts, 2)) <= {"aab", "aad", "cab", "cad"} | set(texts)
    # order 2 knows (a, a) -> b and (c, a) -> d; order 1 knows only a -> a, b, d.
    assert set(sampled(texts, 2)) == {"aab", "cad"}
    assert "cab" in sampled(texts, 1, n=300)


def test_a_string_of_full_length_is_not_taken_for_an_ending():
    # All strings are cut at T = 8, so the chain has seen no end: it goes on to T.
    assert {len(text) for text in sampled(["abababab", "babababa"], 2)} == {8}


def test_a_context_seen_only_at_the_cut_ends_the_string():
    # "cd" was only ever seen as the last two of a full string, and a chain of order 2 may come to it early.
    texts = ["ababacd", "abacd"]
    alphabet = Alphabet("abcd", 7)
    found = set(sampled([texts[0]], 2, n=400, alphabet=alphabet))
    assert "abacd" in found
    assert all(text.endswith("cd") or len(text) == 7 for text in found)


def test_the_seed_decides_the_sample():
    chain = MarkovChain.fit(ABC.encode(["abcd", "bcda", "dcba"]), ABC.size, 1)
    np.testing.assert_array_equal(chain.sample(100, 3), chain.sample(100, 3))
    assert (chain.sample(100, 3) != chain.sample(100, (3, 1))).any()


def test_samples_are_encoded_as_text_is():
    alphabet = Alphabet("".join(map(chr, range(0x4E00, 0x4E00 + 3000))), 5)
    ids = alphabet.encode(["丁丂七", "上下", ""])
    drawn = MarkovChain.fit(ids, alphabet.size, 5).sample(64)
    assert drawn.dtype == ids.dtype == np.uint16
    assert drawn.shape == (64, 5)
    assert {tuple(row) for row in drawn.tolist()} == {tuple(row) for row in ids.tolist()}


@pytest.mark.parametrize("length", [1, 2])
def test_contexts_longer_than_the_strings_are_fine(length):
    alphabet = Alphabet("ab", length)
    assert set(sampled(["a"], 5, alphabet=alphabet)) == {"a"}


def test_text_of_padding_alone_gives_empty_strings():
    assert set(sampled(["", ""], 3)) == {""}


def test_fitting_nothing_is_refused():
    with pytest.raises(ValueError, match="the training set must hold at least 1 string"):
        MarkovChain.fit(ABC.encode(["a"])[:0], ABC.size, 2)
    with pytest.raises(ValueError, match="order must be at least 1, got 0"):
        MarkovChain.fit(ABC.encode(["a"]), ABC.size, 0)
