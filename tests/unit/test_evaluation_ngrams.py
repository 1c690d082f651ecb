from collections import Counter
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from model.alphabet import PADDING, Alphabet
from training.evaluation.ngrams import NgramIndex, NgramProfile, checked, js_divergence

ABC = Alphabet("abc", 6)
TEXTS = st.lists(st.text("abc", max_size=6), min_size=1, max_size=8)


def grams(ids, n, form):
    rows = [tuple(row[i : i + n]) for row in ids.tolist() for i in range(len(row) - n + 1)]
    return Counter(row for row in rows if form == "padded" or PADDING not in row)


def brute_force(p, q):
    """The definition, term by term."""
    total_p, total_q = sum(p.values()), sum(q.values())
    divergence = 0.0
    for gram in p | q:
        a, b = p[gram] / total_p, q[gram] / total_q
        m = (a + b) / 2
        divergence += sum(x * log2(x / m) for x in (a, b) if x) / 2
    return divergence


@pytest.mark.parametrize("form", ["padded", "bare"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
@given(ours=TEXTS, theirs=TEXTS)
@settings(max_examples=40, deadline=None)
def test_divergence_equals_its_definition_over_counters(n, form, ours, theirs):
    ids, reference = ABC.encode(ours), ABC.encode(theirs)
    p, q = grams(reference, n, form), grams(ids, n, form)
    found = js_divergence(ids, reference, n, ABC.size, form)
    if not p:
        assert found is None
    else:
        assert found == pytest.approx(brute_force(p, q) if q else 1.0, abs=1e-12)


@pytest.mark.parametrize("form", ["padded", "bare"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_a_set_is_at_0_from_itself_and_from_itself_twice(n, form):
    ids = ABC.encode(["abcabc", "bca", "cccccc", ""])
    assert js_divergence(ids, ids, n, ABC.size, form) == 0
    assert js_divergence(np.concatenate([ids, ids]), ids, n, ABC.size, form) == pytest.approx(0, abs=1e-12)


def test_disjoint_sets_are_1_bit_apart():
    ids, reference = ABC.encode(["aaaaaa"]), ABC.encode(["bbbbbb", "cccccc"])
    assert js_divergence(ids, reference, 4, ABC.size) == 1


def test_divergence_of_two_points_by_hand():
    # p = (1/2, 1/2), q = (1, 0): JS = (1/2 log2(2/3) + 1/2 log2 2 + log2(4/3)) / 2 = 0.311278
    ids, reference = Alphabet("ab", 2).encode(["aa", "aa"]), Alphabet("ab", 2).encode(["aa", "bb"])
    assert js_divergence(ids, reference, 1, 4) == pytest.approx(0.75 * log2(4 / 3), abs=1e-15)
    assert js_divergence(reference, ids, 1, 4) == pytest.approx(0.75 * log2(4 / 3), abs=1e-15)


def test_divergence_is_the_square_of_scipys_distance():
    rng = np.random.default_rng(0)
    ids, reference = rng.integers(1, 9, (50, 7)), rng.integers(1, 9, (60, 7))
    p, q = (np.bincount(x.ravel(), minlength=9) for x in (ids, reference))
    assert js_divergence(ids, reference, 1, 9) == pytest.approx(jensenshannon(p, q, base=2) ** 2)


def test_padding_counts_in_one_form_and_not_in_the_other():
    ids, reference = ABC.encode(["ab"]), ABC.encode(["abab"])
    assert js_divergence(ids, reference, 1, ABC.size, "bare") == 0
    assert js_divergence(ids, reference, 1, ABC.size, "padded") > 0.05


@pytest.mark.parametrize(("size", "dtype"), [(3000, np.uint16), (65_536, np.uint16), (256, np.uint8)])
def test_six_grams_of_a_large_alphabet_are_exact(size, dtype):
    # 3000^6 = 7e20 and 65536^6 = 8e28 are beyond 64 bits; two strings that differ in one symbol must stay apart.
    rng = np.random.default_rng(1)
    reference = rng.integers(1, size, (200, 9)).astype(dtype)
    ids = reference.copy()
    ids[:, 4] = ids[:, 4] % (size - 1) + 1
    for n in (1, 4, 6):
        expected = brute_force(grams(reference, n, "padded"), grams(ids, n, "padded"))
        assert js_divergence(ids, reference, n, size) == pytest.approx(expected, abs=1e-12)
    assert js_divergence(ids, reference, 6, size) == pytest.approx(1, abs=1e-12)


def test_an_index_numbers_windows_as_equal_exactly_if_they_are():
    ids = ABC.encode(["abcabc", "cabcab"])
    index, ranks = NgramIndex.of(ids, ABC.size, 3)
    windows = [tuple(row[i : i + 3]) for row in ids.tolist() for i in range(4)]
    assert len(set(zip(windows, ranks[3].ravel().tolist(), strict=True))) == len(set(windows)) == index.codes[2].size
    for of, again in zip(ranks, index.ranks(ids), strict=True):
        np.testing.assert_array_equal(of, again)


def test_a_profile_gives_every_order_and_form_at_once():
    ids, reference = ABC.encode(["abcabc", "ab"]), ABC.encode(["abccba", "cab"])
    found = NgramProfile(reference, ABC.size).divergences(ids)
    for n in (1, 2, 3, 4, 6):
        for form in ("padded", "bare"):
            assert found[f"js{n}_{form}"] == js_divergence(ids, reference, n, ABC.size, form)


def test_orders_beyond_the_length_are_not_defined():
    ids = Alphabet("ab", 1).encode(["a", "b"])
    found = NgramProfile(ids, 4).divergences(ids)
    assert {key for key, value in found.items() if value is not None} == {"js1_padded", "js1_bare"}


def test_all_padding_is_as_far_as_can_be_without_padding_and_nearer_with_it():
    empty, reference = ABC.encode(["", ""]), ABC.encode(["abc", "cab"])
    assert js_divergence(empty, reference, 4, ABC.size, "bare") is None, "the reference has no bare 4-gram"
    assert js_divergence(empty, reference, 3, ABC.size, "bare") == 1
    assert 0 < js_divergence(empty, reference, 3, ABC.size, "padded") < 1


def test_what_follows_the_first_padding_is_not_looked_at():
    ids = np.array([[2, 0, 3, 4, 0, 2]], dtype=np.uint8)
    np.testing.assert_array_equal(checked(ids, ABC.size, "x"), [[2, 0, 0, 0, 0, 0]])
    assert js_divergence(ids, ABC.encode(["a"]), 2, ABC.size) == 0


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.zeros((0, 4), np.uint8), "at least 1 string"),
        (np.zeros((4, 0), np.uint8), "at least 1 string"),
        (np.zeros(4, np.uint8), r"shape \(N, T\)"),
        (np.full((2, 2), 5, np.uint8), "ids from 0 to 4, got 5 to 5"),
        (np.zeros((2, 2)), "float64"),
    ],
)
def test_sets_that_cannot_be_counted_are_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        NgramProfile(ids, ABC.size)
    with pytest.raises(ValueError, match=message):
        NgramProfile(ABC.encode(["abc"]), ABC.size).divergences(ids)


def test_unknown_forms_and_orders_are_refused():
    ids = ABC.encode(["abc"])
    with pytest.raises(ValueError, match="padded, bare, got naked"):
        js_divergence(ids, ids, 1, ABC.size, "naked")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        js_divergence(ids, ids, 0, ABC.size)
