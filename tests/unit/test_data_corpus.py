"""The corpus: what is learned of the lines, how it is split, and what its digest depends on."""

import math
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.alphabet import normalize
from model.errors import DataError
from training.configuration import DataConfig
from training.data import Corpus, open_dataset
from training.data.dataset import Dataset
from training.data.repeats import Repeats, hash_rows
from training.data.split import Split, split_rows

Learn = Callable[..., Corpus]
CPU = torch.device("cpu")


@pytest.fixture
def learn(tmp_path: Path) -> Learn:
    def learned(lines: list[str], name: str = "a.txt", **options: object) -> Corpus:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="")
        corpus = open_dataset(DataConfig(sources=(str(path),), **options), tmp_path / "cache")
        assert isinstance(corpus, Corpus)
        return corpus

    return learned


def strings(corpus: Corpus) -> list[str]:
    return sorted(corpus.alphabet.decode(np.concatenate([corpus.train, corpus.held_out])))


def test_a_corpus_is_a_dataset_of_one_hot_texts(learn: Learn) -> None:
    corpus: Dataset = learn(["ab", "b", "abc", "ca"] * 20)
    assert corpus.kind == "text"
    assert corpus.shape == (3, 5)
    rows = np.array([0, 5, 5, len(corpus) - 1])
    drawn = corpus.draw(rows, CPU)
    assert drawn.shape == (4, 3, 5)
    assert drawn.dtype == torch.float32
    assert isinstance(corpus, Corpus)
    assert torch.equal(drawn, torch.eye(5)[torch.from_numpy(corpus.train[rows]).long()])


def test_an_alphabet_of_more_than_a_byte_is_drawn_as_well(learn: Learn) -> None:
    corpus = learn([chr(0x4E00 + i) for i in range(600)])
    assert corpus.train.dtype == np.uint16
    rows = np.arange(len(corpus))
    assert torch.equal(corpus.draw(rows, CPU).argmax(dim=2), torch.from_numpy(corpus.train.astype(np.int64)))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_held_out_share_is_met_within_its_spread(learn: Learn, share: float) -> None:
    corpus = learn([f"{i}" for i in range(20_000)], held_out=share)
    spread = math.sqrt(20_000 * share * (1 - share))
    assert abs(len(corpus.held_out) - 20_000 * share) < 5 * spread
    assert len(corpus.train) + len(corpus.held_out) == 20_000


def test_the_split_depends_on_the_seed_alone(learn: Learn) -> None:
    lines = [f"{i}" for i in range(500)]
    first, again, other = learn(lines), learn(lines, name="b.txt"), learn(lines, seed=1)
    assert np.array_equal(first.held_out, again.held_out)
    assert not np.array_equal(first.held_out, other.held_out[: len(first.held_out)])
    assert strings(first) == strings(other)


@given(st.integers(0, 2**63 - 1), st.floats(0.01, 0.99), st.lists(st.integers(0, 40), max_size=6))
def test_the_split_does_not_depend_on_the_portions_it_is_asked_in(seed: int, share: float, portions: list[int]) -> None:
    split = Split(seed, share)
    pieces = np.concatenate([split.next(rows) for rows in portions] or [np.zeros(0, dtype=bool)])
    assert np.array_equal(pieces, Split(seed, share).next(sum(portions)))


@given(st.integers(2, 20), st.floats(1e-9, 1 - 1e-9), st.integers(0, 99))
def test_neither_part_of_a_split_is_empty(rows: int, share: float, seed: int) -> None:
    held_out = split_rows(rows, share, seed, "rows")
    assert 0 < held_out.sum() < rows


@pytest.mark.parametrize("share", [1e-9, 1 - 1e-9])
def test_a_part_that_would_be_empty_takes_the_last_line(learn: Learn, share: float) -> None:
    corpus = learn(["a", "b", "c"], held_out=share)
    larger, smaller = (corpus.train, corpus.held_out) if share < 0.5 else (corpus.held_out, corpus.train)
    assert corpus.alphabet.decode(larger) == ["a", "b"]
    assert corpus.alphabet.decode(smaller) == ["c"]
    assert (corpus.report.train, corpus.report.held_out) == (len(corpus.train), len(corpus.held_out))


def test_labels_move_with_the_last_line(learn: Learn) -> None:
    corpus = learn(["text,kind", "a,x", "b,y"], name="a.csv", label="kind", held_out=1e-9)
    assert corpus.train_labels is not None
    assert corpus.held_out_labels is not None
    assert (corpus.train_labels.tolist(), corpus.held_out_labels.tolist()) == ([0], [1])
    assert corpus.train_labels.dtype == np.uint16


def test_one_distinct_character_is_an_alphabet_of_three_symbols(learn: Learn) -> None:
    corpus = learn(["a", "aa", "a"])
    assert corpus.shape == (2, 3)
    assert strings(corpus) == ["a", "a", "aa"]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([5] * 10, 5),
        ([5] * 995 + [9] * 5, 5),
        ([5] * 994 + [9] * 6, 9),
        ([100] * 10, 64),
        ([64] * 9 + [65], 64),
    ],
)
def test_the_automatic_length_covers_995_lines_of_a_thousand_and_is_at_most_64(
    learn: Learn, lengths: list[int], expected: int
) -> None:
    corpus = learn(["x" * length for length in lengths])
    assert corpus.shape[0] == expected
    assert corpus.report.cut == sum(length > expected for length in lengths)


def test_a_longer_line_is_cut_dropped_or_cut_into_windows(learn: Learn) -> None:
    lines = ["abcdefg", "hi", "jkl", "mnopqr"]
    cut = learn(lines, max_length=3)
    assert strings(cut) == ["abc", "hi", "jkl", "mno"]
    assert cut.report.cut == 2
    dropped = learn(lines, max_length=3, on_long="drop")
    assert strings(dropped) == ["hi", "jkl"]
    assert dropped.report.dropped == 2
    windows = learn(lines, max_length=3, on_long="window")
    assert strings(windows) == ["abc", "def", "g", "hi", "jkl", "mno", "pqr"]
    assert windows.report.windowed == 2


@settings(max_examples=30)
@given(st.lists(st.text("ab", min_size=1, max_size=30), min_size=2, max_size=20), st.integers(1, 12))
def test_windows_put_together_are_the_text(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], length: int
) -> None:
    folder = tmp_path_factory.mktemp("windows")
    (folder / "a.txt").write_text("\n".join(lines))
    config = DataConfig(sources=(str(folder / "a.txt"),), max_length=length, on_long="window", held_out=1e-9)
    corpus = open_dataset(config, folder / "cache")
    assert isinstance(corpus, Corpus)
    assert "".join(corpus.alphabet.decode(np.concatenate([corpus.train, corpus.held_out]))) == "".join(lines)


def test_every_window_keeps_the_label_of_its_line(learn: Learn) -> None:
    lines = ["text,kind", "aaaaa,x", "b,y", "aaaa,x", "bbb,y"]
    for on_long, expected in (("window", 9), ("drop", 2), ("truncate", 5)):
        corpus = learn([*lines, "b,y"], name="a.csv", label="kind", max_length=2, on_long=on_long)
        assert corpus.train_labels is not None
        assert corpus.held_out_labels is not None
        labels = np.concatenate([corpus.train_labels, corpus.held_out_labels])
        texts = corpus.alphabet.decode(np.concatenate([corpus.train, corpus.held_out]))
        assert len(texts) == expected
        assert all(
            corpus.label_names[label] == {"a": "x", "b": "y"}[text[0]]
            for label, text in zip(labels, texts, strict=True)
        )


def test_a_character_that_only_stands_in_what_is_cut_is_not_in_the_alphabet(learn: Learn) -> None:
    lines = ["ab"] * 999 + ["abz"]
    assert learn(lines).alphabet.characters == "ab"
    assert learn(lines, max_length=2).alphabet.characters == "ab"
    assert learn(lines, max_length=2, on_long="drop").alphabet.characters == "ab"
    assert learn(lines, on_long="window").alphabet.characters == "abz"


def test_rare_characters_become_the_unknown_symbol_and_are_counted(learn: Learn) -> None:
    corpus = learn(["ab", "ab", "ax", "ay", "yb"], min_count=3)
    assert corpus.alphabet.characters == "ab"
    assert strings(corpus) == ["ab", "ab", "a\ufffd", "a\ufffd", "\ufffdb"]
    assert (corpus.report.rare, corpus.report.replaced) == (2, 3)


def test_a_threshold_that_no_character_reaches_is_an_error_with_the_greatest_count(learn: Learn) -> None:
    with pytest.raises(DataError, match=r"no character occurs data\.min_count \(9\) times: .* occurs 3 times"):
        learn(["a", "ab", "a"], min_count=9)


def test_dropping_every_line_is_an_error_that_says_why(learn: Learn) -> None:
    with pytest.raises(DataError, match=r"every line is longer than data\.max_length \(2\)"):
        learn(["abc", "abcd"], max_length=2, on_long="drop")
    with pytest.raises(DataError, match=r"leaves 1 sample to learn from \(1 too long left out\): at least 2"):
        learn(["ab", "abcd"], max_length=2, on_long="drop")


def test_repeated_lines_are_kept_or_dropped(learn: Learn) -> None:
    lines = ["b", "a", "b", "e\u0301", "é"]
    assert strings(learn(lines)) == ["a", "b", "b", "é", "é"]
    corpus = learn(lines, duplicates="drop")
    assert strings(corpus) == ["a", "b", "é"]
    assert corpus.report.duplicates == 2
    with pytest.raises(DataError, match=r"leaves 1 sample to learn from \(2 repeated left out\)"):
        learn(["a", "a", "a"], duplicates="drop")


@given(st.lists(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), max_size=8), max_size=8))
def test_only_the_first_of_equal_rows_is_fresh(blocks: list[list[list[int]]]) -> None:
    repeats, seen = Repeats(), set()
    for block in blocks:
        ids = np.array(block, dtype=np.uint8).reshape(-1, 2)
        for row, fresh in zip(block, repeats.fresh(ids), strict=True):
            assert fresh == (tuple(row) not in seen)
            seen.add(tuple(row))


def test_row_hashes_tell_apart_every_row_of_two_symbols() -> None:
    ids = (np.arange(1 << 16)[:, np.newaxis] >> np.arange(16)) & 1
    assert len(np.unique(hash_rows(ids.astype(np.uint8)))) == 1 << 16
    assert len(np.unique(hash_rows(ids.astype(np.uint16)))) == 1 << 16


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), max_size=9), min_size=2, max_size=9))
def test_what_is_learned_is_the_lines_in_nfc(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("nfc")
    (folder / "a.txt").write_text("\n".join(["a", "b", *lines]), encoding="utf-8")
    corpus = open_dataset(DataConfig(sources=(str(folder / "a.txt"),), max_length=64), folder / "cache")
    assert isinstance(corpus, Corpus)
    assert strings(corpus) == sorted(normalize(line) for line in ["a", "b", *lines] if line.strip())


def test_many_blocks_give_what_one_pass_over_the_lines_gives(learn: Learn) -> None:
    lines = [f"{i * 7919 % 1000:04d}é{'x' * (i % 9)}" for i in range(150_000)]
    corpus = learn(lines, max_length=14, held_out=1e-9)
    assert np.array_equal(np.concatenate([corpus.train, corpus.held_out]), corpus.alphabet.encode(lines))


def test_the_report_counts_every_line(learn: Learn) -> None:
    corpus = learn(["a", "", "bcd", " ", "a"], max_length=2, duplicates="drop", min_count=2)
    report = corpus.report
    assert {field.name: getattr(report, field.name) for field in fields(report)} == {
        "lines": 5,
        "blank": 2,
        "bad_utf8_replaced": 0,
        "bad_utf8_skipped": 0,
        "broken": 0,
        "cut": 1,
        "dropped": 0,
        "windowed": 0,
        "duplicates": 1,
        "rare": 2,
        "replaced": 2,
        "train": 1,
        "held_out": 1,
        "length": 2,
        "symbols": 3,
    }
    assert report.sentences() == [
        "5 lines read: 2 blank, left out; 1 longer than 2 characters, cut.",
        "1 repeated string left out.",
        "2 rare characters, 2 occurrences, became the unknown symbol.",
        "1 string to train on and 1 held out, of up to 2 characters over 3 symbols.",
    ]


def test_the_digest_does_not_depend_on_path_or_time(learn: Learn, tmp_path: Path) -> None:
    lines = [f"{i}" for i in range(100)]
    first, moved = learn(lines), learn(lines, name="other/b.txt")
    assert first.folder != moved.folder
    assert first.digest == moved.digest
    assert len(bytes.fromhex(first.digest)) == 32
    os.utime(tmp_path / "a.txt", ns=(1, 1))
    again = open_dataset(DataConfig(sources=(str(tmp_path / "a.txt"),)), tmp_path / "cache")
    assert isinstance(again, Corpus)
    assert again.folder != first.folder
    assert again.digest == first.digest


def test_the_digest_depends_on_content_split_length_and_labels(learn: Learn) -> None:
    lines = ["text,kind", *(f"{i},{i % 2}" for i in range(100))]
    options: list[dict[str, object]] = [{}, {"seed": 1}, {"held_out": 0.2}, {"max_length": 5}, {"label": "kind"}]
    digests = {learn(lines, name="a.csv", column="text", **each).digest for each in options}
    digests.add(learn([*lines[:-1], "x,1"], name="b.csv", column="text").digest)
    digests.add(learn([*lines[:-1], "99,0"], name="b.csv", column="text", label="kind").digest)
    assert len(digests) == len(options) + 2
