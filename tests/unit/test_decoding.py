"""From logits to symbols."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.alphabet import UNKNOWN
from model.decoding import Decoding, decode, likeliest

N, T, V = 2000, 3, 7


def logits(seed: int = 0, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, T, V)).astype(np.float32)


def test_the_likeliest_symbol_is_never_the_unknown_one() -> None:
    given = np.zeros((1, T, V), dtype=np.float32)
    given[:, :, UNKNOWN] = 9
    given[:, :, 4] = 1
    assert (likeliest(given) == 4).all()


def test_a_mask_leaves_other_positions_as_they_are() -> None:
    mask = np.ones((T, V), dtype=bool)
    mask[1] = False
    mask[1, 5] = True
    plain, masked = likeliest(logits()), decode(logits(), Decoding(mask=mask), 0, 0)
    assert (masked[:, 1] == 5).all()
    assert (masked[:, [0, 2]] == plain[:, [0, 2]]).all()


def test_drawn_symbols_have_the_probabilities_of_the_softmax() -> None:
    row = np.array([0.5, 9.0, 1.0, -1.0, 0.0, 2.0, -3.0], dtype=np.float32)
    same = np.broadcast_to(row, (20_000, 1, V)).copy()
    for temperature in (0.5, 1.0, 2.0):
        p = np.exp(np.where(np.arange(V) == UNKNOWN, -np.inf, row) / temperature)
        share = np.bincount(decode(same.copy(), Decoding(temperature), 1, 0)[:, 0], minlength=V) / len(same)
        assert share == pytest.approx(p / p.sum(), abs=0.015)
        assert share[UNKNOWN] == 0


def test_a_temperature_near_zero_draws_the_likeliest() -> None:
    assert (decode(logits(), Decoding(1e-4), 3, 0) == likeliest(logits())).mean() > 0.999


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**53 - 1), st.integers(0, 2**40), st.integers(1, 50), st.integers(0, 49))
def test_what_is_drawn_for_a_string_does_not_depend_on_the_batch(seed: int, first: int, n: int, at: int) -> None:
    at %= n
    whole = decode(logits(n=n), Decoding(1.3), seed, first)
    alone = decode(logits(n=n)[at : at + 1], Decoding(1.3), seed, first + at)
    assert (whole[at] == alone[0]).all()


def test_neighbouring_strings_and_seeds_draw_differently() -> None:
    same = np.zeros((64, 8, V), dtype=np.float32)
    a, b = decode(same.copy(), Decoding(1.0), 1, 0), decode(same.copy(), Decoding(1.0), 2, 0)
    assert len(np.unique(a, axis=0)) > 60
    assert (a != b).any()


def test_what_a_mask_forbids_is_never_drawn() -> None:
    mask = np.zeros((T, V), dtype=bool)
    mask[:, [0, 3]] = True
    drawn = decode(logits(), Decoding(5.0, mask), 0, 0)
    assert set(np.unique(drawn)) == {0, 3}
