"""Latents are a function of (seed, row) alone, and normal: against the paper's generator and the normal law."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.latents import MAX_SEED, latents, normal_quantiles

SEEDS = st.integers(0, MAX_SEED)
MASK = 2**64 - 1


def philox(counter: int, seed: int) -> list[int]:
    """The four words of Philox4x64-10 at a counter, with the constants of Salmon et al. 2011."""
    c = [counter >> (64 * i) & MASK for i in range(4)]
    k0, k1 = seed, 0
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], 2**64)
        c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c


def row_by_the_paper(seed: int, row: int, size: int) -> list[float]:
    """Row of a seed: blocks of four words, each word four indices, the lowest 16 bits first."""
    blocks = -(-size // 16)
    # numpy counts up before it draws, so that the first block of all is the counter 1.
    words = [word for block in range(blocks) for word in philox(row * blocks + block + 1, seed)]
    indices = [word >> (16 * i) & 0xFFFF for word in words for i in range(4)]
    return [float(np.float32(NormalDist().inv_cdf((k + 0.5) / 65536))) for k in indices[:size]]


@pytest.mark.parametrize(
    ("seed", "row", "size"),
    [(0, 0, 16), (0, 5, 20), (1, 0, 1), (2**63, 2**32, 33), (MAX_SEED, 10**12, 128), (0xDEADBEEF, 2**58, 40)],
)
def test_a_row_equals_philox_written_from_the_paper(seed: int, row: int, size: int) -> None:
    assert latents(seed, row, 1, size)[0].tolist() == row_by_the_paper(seed, row, size)


@settings(deadline=None)
@given(SEEDS, st.integers(0, 2**40), st.integers(0, 20), st.integers(0, 20), st.integers(1, 70))
def test_a_row_is_the_same_in_any_range(seed: int, first: int, before: int, after: int, size: int) -> None:
    wide = latents(seed, first, before + 1 + after, size)
    assert np.array_equal(latents(seed, first + before, 1, size)[0], wide[before])
    assert np.array_equal(latents(seed, first + before, 1 + after, size), wide[before:])


@settings(deadline=None, max_examples=30)
@given(SEEDS, SEEDS, st.integers(0, 2**40))
def test_distinct_seeds_differ(one: int, other: int, first: int) -> None:
    same = np.array_equal(latents(one, first, 2, 16), latents(other, first, 2, 16))
    assert same == (one == other)


def test_distinct_rows_differ() -> None:
    assert len(np.unique(latents(3, 0, 2000, 16), axis=0)) == 2000


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 63, 128])
def test_any_number_of_coordinates_is_given(size: int) -> None:
    values = latents(7, 3, 5, size)
    assert values.shape == (5, size)
    assert values.dtype == np.float32


def test_no_rows_are_no_rows() -> None:
    assert latents(0, 9, 0, 12).shape == (0, 12)


def test_the_table_is_exactly_symmetric_increasing_and_normal() -> None:
    table = normal_quantiles()
    assert table.shape == (65536,)
    assert table.dtype == np.float32
    assert np.array_equal(table, -table[::-1])
    assert (np.diff(table) > 0).all()
    assert table[49152] == pytest.approx(NormalDist().inv_cdf(49152.5 / 65536), rel=1e-6)
    # The quantiles stand for equal shares of the law, and only its outermost tails are narrowed.
    assert float(np.square(table.astype(np.float64)).mean()) == pytest.approx(1.0, abs=2e-4)


def test_mean_and_variance_are_those_of_the_normal_law() -> None:
    n = 2048 * 128
    values = latents(11, 0, 2048, 128).astype(np.float64)
    # Standard errors: 1 / sqrt(n) of the mean, sqrt(2 / n) of the variance, sqrt(24 / n) of the fourth moment's excess.
    assert abs(values.mean()) < 4 / n**0.5
    assert abs(values.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((values**4).mean() - 3 * values.var() ** 2) < 4 * (24 / n) ** 0.5


def test_coordinates_and_rows_are_uncorrelated() -> None:
    values = latents(12, 0, 4096, 32).astype(np.float64)
    # A correlation of n independent pairs has the standard error 1 / sqrt(n); 496 pairs of columns are looked at.
    correlations = np.corrcoef(values, rowvar=False)[np.triu_indices(32, k=1)]
    assert np.abs(correlations).max() < 5 / 4096**0.5
    assert abs(np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]) < 4 / (4095 * 32) ** 0.5


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_that_is_not_64_bits_is_refused_with_the_bound(seed: int) -> None:
    with pytest.raises(ValueError, match=f"between 0 and {MAX_SEED}, got {seed}"):
        latents(seed, 0, 1, 8)


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (0, -1)])
def test_a_negative_position_is_refused(first: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"must not be negative, got {first} and {count}"):
        latents(0, first, count, 8)
