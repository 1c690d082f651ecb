"""Samples made on a device of what is stored: those that the dataset draws itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import CPU, Memory, data_of
from torch import nn

from training.configuration import DataConfig
from training.data import open_dataset
from training.data import resident as module
from training.data.arrays import Images, Points
from training.data.corpus import Corpus
from training.data.dataset import Dataset
from training.data.resident import Store, one_hot

ROOM = 1 << 20
ROWS = np.array([3, 0, 3, 7], dtype=np.int64)


def text(folder: Path, *, labels: bool = False) -> Corpus:
    lines = [f"word{i}" for i in range(30)]
    path = folder / ("words.csv" if labels else "words.txt")
    told = ["word,mark", *(f"{line},{'ab'[i % 2]}" for i, line in enumerate(lines))] if labels else lines
    path.write_text("\n".join(told), encoding="utf-8")
    columns = {"column": "word", "label": "mark"} if labels else {}
    corpus = open_dataset(DataConfig(sources=(str(path),), **columns), folder / "cache")
    assert isinstance(corpus, Corpus)
    return corpus


def arrays(dtype: type) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8)).astype(dtype)
    return {"train": drawn, "held_out": drawn[:2].astype(np.float32), "digest": ""}


@pytest.fixture(params=["text", "labelled text", "bytes", "points", "other"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    made = {
        "text": lambda: text(tmp_path),
        "labelled text": lambda: text(tmp_path, labels=True),
        "bytes": lambda: Images(**arrays(np.uint8)),
        "points": lambda: Points(**arrays(np.float32)),
        "other": lambda: data_of("points"),
    }
    return made[request.param]()


@pytest.mark.parametrize("room", [0, ROOM])
def test_samples_are_those_that_the_dataset_draws(dataset: Dataset, room: int) -> None:
    store = Store(dataset, CPU, room)
    assert store.resident == (room > 0 and not isinstance(dataset, Memory))
    samples, drawn = store.samples(store.travelling(ROWS)), dataset.draw(ROWS, CPU)
    assert samples.dtype == torch.float32
    assert torch.equal(samples, drawn)


def test_rows_that_lie_there_travel_as_their_numbers_and_others_as_they_are_stored(tmp_path: Path) -> None:
    corpus = text(tmp_path)
    (numbers,), (ids,) = (Store(corpus, CPU, room).travelling(ROWS) for room in (ROOM, 0))
    assert numbers.tolist() == ROWS.tolist()
    assert ids.dtype == torch.uint8
    assert ids.tolist() == corpus.train[ROWS].tolist()


def test_a_corpus_of_more_bytes_than_there_is_room_for_is_not_moved(tmp_path: Path) -> None:
    corpus = text(tmp_path)
    assert Store(corpus, CPU, corpus.train.nbytes).resident
    assert not Store(corpus, CPU, corpus.train.nbytes - 1).resident
    assert not Store(corpus, CPU).resident


def test_rows_are_moved_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = text(tmp_path)
    monkeypatch.setattr(module, "_PIECE", 2 * corpus.shape[0])
    store, every = Store(corpus, CPU, ROOM), np.arange(len(corpus))
    assert torch.equal(store.samples(store.travelling(every)), corpus.draw(every, CPU))


def test_ids_of_two_bytes_are_read_without_their_sign() -> None:
    ids = np.array([[0, 1], [40000, 65535]], dtype=np.uint16)
    found = one_hot(torch.from_numpy(ids.view(np.int16)), symbols=65536, channels=65536)
    expected = nn.functional.one_hot(torch.from_numpy(ids.astype(np.int64)), 65536).float()
    assert torch.equal(found, expected)


def test_labels_stand_after_the_symbols_at_every_place() -> None:
    ids, labels = torch.tensor([[0, 1], [2, 2]], dtype=torch.uint8), torch.tensor([1, 0], dtype=torch.int16)
    rows = one_hot(ids, labels, symbols=3, channels=5)
    assert rows.tolist() == [
        [[1, 0, 0, 0, 1], [0, 1, 0, 0, 1]],
        [[0, 0, 1, 1, 0], [0, 0, 1, 1, 0]],
    ]
