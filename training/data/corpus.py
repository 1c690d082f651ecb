"""A text corpus: read once, encoded once, kept as memory maps that the training draws rows from.

N rows, T length, V alphabet, K labels, 0 if no label was asked for.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from model.alphabet import Alphabet, Ids
from model.errors import ArtifactError, DataError
from model.labels import Labels
from training.conditions import Conditions
from training.data.cleaning import TextSource
from training.data.encoding import encode_corpus
from training.data.repeats import write_sorted_hashes
from training.data.report import Report
from training.data.spool import Spool
from training.data.storage import StoredRows, make_once
from training.data.survey import make_alphabet, naming, survey

if TYPE_CHECKING:
    import torch

    from training.configuration import DataConfig

# Goes up when the same sources and options would be prepared differently.
_LAYOUT = 2
_COUNTED = 1 << 20  # labels in one go: counting widens them
Positions = NDArray[np.uint16]


@dataclass(frozen=True)
class Corpus:
    """Strings as rows of ids: a ``Dataset`` of kind "text" and shape (T, V + K), with a held-out part.

    folder: holds train.npy and held_out.npy (ids, (N, T), uint8 or uint16), train_hashes.npy ((N,), uint64),
    tokenizer.json and corpus.json, and with labels train_labels.npy and held_out_labels.npy ((N,), uint16, positions
    in label_names).
    digest: hex SHA-256 of rows, split, alphabet and labels; paths and times do not enter it.
    """

    folder: Path
    alphabet: Alphabet
    report: Report
    digest: str
    label_names: tuple[str, ...]

    @property
    def kind(self) -> Literal["text"]:
        return "text"

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, V + K)."""
        return (self.alphabet.length, self.alphabet.size + len(self.labels))

    def __len__(self) -> int:
        return self.report.train

    @cached_property
    def train(self) -> Ids:
        """Ids of the training rows, (N, T), a read-only memory map."""
        return self._part("train")

    @cached_property
    def _stored(self) -> StoredRows:
        return StoredRows(self.train, self.folder / "train.npy")

    @cached_property
    def held_out(self) -> Ids:
        """Ids of the held-out rows, (N, T), a read-only memory map."""
        return self._part("held_out")

    @cached_property
    def train_hashes(self) -> NDArray[np.uint64]:
        """A 64-bit hash of each training row, (N,), ascending, a read-only memory map: whether a string is a copy."""
        hashes: NDArray[np.uint64] = np.load(self.folder / "train_hashes.npy", mmap_mode="r", allow_pickle=False)
        if hashes.shape != (self.report.train,) or hashes.dtype != np.uint64:
            raise ValueError(f"train_hashes.npy has the wrong shape {hashes.shape}")
        return hashes

    @property
    def conditions(self) -> Conditions:
        """The K channels of the labels, after the V of the text."""
        return Conditions(len(self.labels))

    @cached_property
    def labels(self) -> Labels:
        """What a model of this corpus can be asked for, with shares of the training rows; none if data.label is unset.

        Raises DataError if a model cannot have such labels.
        """
        if self.train_labels is None:
            return Labels()
        counts = np.zeros(len(self.label_names), dtype=np.int64)
        for start in range(0, len(self), _COUNTED):
            counts += np.bincount(self.train_labels[start : start + _COUNTED], minlength=len(counts))
        found = {"names": list(self.label_names), "shares": (counts / len(self)).tolist()}
        try:
            return Labels.from_json(found, "data.label")
        except ArtifactError as error:
            raise DataError(f"{error}: mend the labels, or leave data.label out") from error

    @cached_property
    def train_labels(self) -> Positions | None:
        """Position in label_names of each training row's label, (N,); None if no label was asked for."""
        return self._map("train_labels") if self.label_names else None

    @cached_property
    def held_out_labels(self) -> Positions | None:
        """Position in label_names of each held-out row's label, (N,); None if no label was asked for."""
        return self._map("held_out_labels") if self.label_names else None

    def draw(self, rows: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """One-hot vectors of the given training rows and their labels, (N, T, V + K), float32, made on the device."""
        import torch

        ids = self._stored.take(rows)
        # torch has few operations on uint16, so two-byte ids travel as int32.
        narrow = torch.from_numpy(ids if ids.dtype == np.uint8 else ids.astype(np.int32))
        index = narrow.to(device, non_blocking=True).long().unsqueeze(-1)
        one_hot = torch.zeros(len(ids), *self.shape, device=device)
        one_hot.scatter_(2, index, 1.0)
        if self.train_labels is not None:
            labels = torch.from_numpy(self.train_labels[rows].astype(np.int64)).to(device)
            one_hot[torch.arange(len(ids), device=device), :, self.alphabet.size + labels] = 1.0
        return one_hot

    def _map(self, name: str) -> NDArray[np.uint16]:
        mapped: NDArray[np.uint16] = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return mapped

    def _part(self, name: str) -> Ids:
        part = self._map(name)
        rows = self.report.train if name == "train" else self.report.held_out
        if part.shape != (rows, self.alphabet.length) or part.dtype != self.alphabet.dtype:
            raise ValueError(f"{name}.npy has the wrong shape {part.shape}")
        return part

    @classmethod
    def load(cls, folder: Path) -> Corpus:
        """Open a prepared folder.  Raises OSError, ValueError, KeyError, TypeError or ArtifactError if damaged."""
        saved = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        alphabet = Alphabet.load(folder / "tokenizer.json")
        corpus = cls(folder, alphabet, Report(**saved["report"]), saved["digest"], tuple(saved["labels"]))
        labels = (corpus.train_labels, corpus.held_out_labels)
        for part in (corpus.train, corpus.train_hashes, corpus.held_out, *labels):
            if part is not None and not len(part):
                raise ValueError(f"{folder} has an empty part")
        return corpus


def open_corpus(sources: Sequence[TextSource], config: DataConfig, root: Path) -> Corpus:
    """Prepare the texts of the sources under root, or open what an earlier call prepared from the same ones.

    Raises DataError naming the source if it cannot be read, changes meanwhile or leaves fewer than two rows.
    """

    def build(folder: Path) -> None:
        _prepare(sources, config, folder)
        if _key(sources, config) != key:
            raise DataError(f"{naming(sources)} changed while being read: copy it first, or wait until it is complete")

    key = _key(sources, config)
    folder = make_once(root, key, build)
    try:
        return Corpus.load(folder)
    except (OSError, ValueError, KeyError, TypeError, ArtifactError):
        # A cache may be thrown away at any time, so a damaged one is made again.
        shutil.rmtree(folder, ignore_errors=True)
        return Corpus.load(make_once(root, key, build))


def _key(sources: Sequence[TextSource], config: DataConfig) -> str:
    options = config.model_dump(mode="json", exclude={"sources"})
    identities = [source.identity() for source in sources]
    told = json.dumps([_LAYOUT, unicodedata.unidata_version, identities, options])
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _prepare(sources: Sequence[TextSource], config: DataConfig, folder: Path) -> None:
    name = naming(sources)
    with Spool(folder / "texts") as spool:
        found, length = survey(sources, config, spool)
        alphabet = make_alphabet(found, length, config)
        if len(found.labels) > 1 << 16:
            raise DataError(f"{name} has {len(found.labels)} different labels, at most 65536 can be told apart")
        report, digest = encode_corpus(spool, name, config, alphabet, found, folder)
    write_sorted_hashes(np.load(folder / "train.npy", mmap_mode="r", allow_pickle=False), folder / "train_hashes.npy")
    alphabet.save(folder / "tokenizer.json")
    saved = {"digest": digest, "labels": sorted(found.labels), "report": asdict(report)}
    (folder / "corpus.json").write_text(json.dumps(saved, ensure_ascii=False, indent=1), encoding="utf-8")
