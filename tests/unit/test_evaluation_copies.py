import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.alphabet import Alphabet
from training.evaluation import copies
from training.evaluation.copies import Originals, Pair, as_rows, subsample, unique_share

ABC = Alphabet("abcdefghijklmnopqrstuvwxyz", 8)
WIDE = Alphabet("".join(map(chr, range(0x4E00, 0x4E00 + 3000))), 3)


def test_shares_by_hand():
    originals = Originals.of(ABC.encode(["anna", "anna", "otto", ""]), ABC)
    ids = ABC.encode(["anna", "otto", "ott", "eva", "eva", ""])
    assert unique_share(ids) == 5 / 6
    assert originals.copied(ids) == 3 / 6


@given(st.lists(st.text("abc", max_size=4), min_size=1), st.lists(st.text("abc", max_size=4), min_size=1))
@settings(max_examples=60, deadline=None)
def test_shares_equal_those_of_sets_of_strings(train, texts):
    ids = ABC.encode(texts)
    assert unique_share(ids) == len(set(texts)) / len(texts)
    assert Originals.of(ABC.encode(train), ABC).copied(ids) == sum(text in set(train) for text in texts) / len(texts)


def test_rows_of_two_bytes_are_told_apart_by_their_zero_bytes():
    # 256 is the bytes 00 01 and 1 is 01 00: only a fixed width keeps 0, 1 and 256 apart.
    ids = np.array([[256, 0, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0], [257, 0, 0], [1, 256, 0]], dtype=np.uint16)
    assert np.unique(as_rows(ids)).size == 6
    assert unique_share(np.concatenate([ids, ids])) == 0.5


def test_a_large_alphabet_is_looked_up_exactly():
    rng = np.random.default_rng(0)
    train = rng.integers(1, WIDE.size, (400, 3)).astype(np.uint16)
    others = train.copy()
    others[:, 1] = others[:, 1] % (WIDE.size - 1) + 1
    assert Originals.of(train, WIDE).copied(train[100:]) == 1
    assert Originals.of(train, WIDE).copied(others) == 0


def test_the_nearest_string_is_the_one_with_the_fewest_edits():
    originals = Originals.of(ABC.encode(["anna", "johanna", "otto"]), ABC)
    found = {pair.sample: pair for pair in originals.nearest(ABC.encode(["hanna", "ottx", "otto", "zzz"]))}
    assert found["hanna"] == Pair("hanna", "anna", pytest.approx(1 - 1 / 5))
    assert found["ottx"] == Pair("ottx", "otto", pytest.approx(3 / 4))
    assert found["otto"] == Pair("otto", "otto", 1)
    assert found["zzz"].similarity == 0


def test_blocks_do_not_change_the_nearest(monkeypatch):
    rng = np.random.default_rng(0)
    train, ids = (rng.integers(2, 6, (60, 5)).astype(np.uint8) for _ in range(2))
    whole = Originals.of(train, ABC).nearest(ids)
    monkeypatch.setattr(copies, "BLOCK", 7)
    assert Originals.of(train, ABC).nearest(ids) == whole


def test_limits_bound_the_search_by_seed_and_not_the_exact_look_up():
    ids = ABC.encode(["anna", "otto", "eva", "ida", "ada"])
    originals = Originals.of(ids, ABC, limit=2)
    assert len(originals.texts) == 2
    assert originals.copied(ids) == 1
    assert len(originals.nearest(ids, limit=3)) == 3
    assert originals.nearest(ids, limit=3, seed=5) == originals.nearest(ids, limit=3, seed=5)


def test_empty_strings_are_alike():
    assert Originals.of(ABC.encode([""]), ABC).nearest(ABC.encode([""])) == [Pair("", "", 1.0)]


def test_a_subsample_has_no_row_twice():
    rows = subsample(10, 4, 1)
    assert len(set(rows.tolist())) == 4
    assert sorted(subsample(3, 10, 1).tolist()) == [0, 1, 2]


def test_empty_sets_are_refused():
    ids = ABC.encode(["anna"])
    with pytest.raises(ValueError, match="the training set must hold at least 1 string"):
        Originals.of(ids[:0], ABC)
    with pytest.raises(ValueError, match="the samples must hold at least 1 string"):
        Originals.of(ids, ABC).copied(ids[:0])
