"""Data sets of the Hugging Face hub, through its optional ``datasets`` package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.errors import DataError
from training.data.lines import Block, as_texts, choose_columns
from training.data.optional import load_optional
from training.data.sources import Identity

if TYPE_CHECKING:
    from training.configuration import DataConfig

PREFIX = "hf:"
_ROWS = 8192


@dataclass(frozen=True)
class HubSplit:
    """One split of a data set, which ``datasets`` keeps as a memory map in its own cache."""

    name: str
    table: Any

    def identity(self) -> Identity:
        """The fingerprint that ``datasets`` gives the split, and its size."""
        return ("hf", self.name, str(getattr(self.table, "_fingerprint", "")), len(self.table))

    def blocks(self, config: DataConfig) -> Iterator[Block]:
        """One column as texts; class labels come by their names.  Raises DataError listing the columns there are."""
        names = list(self.table.column_names)
        text, label = choose_columns(names, config.column, config.label, self.name)
        row = 1
        for batch in self.table.iter(batch_size=_ROWS):
            texts = self._texts(batch, names[text], row)
            labels = self._texts(batch, names[label], row) if label >= 0 else None
            yield Block(texts, range(row, row + len(texts)), labels)
            row += len(texts)

    def _texts(self, batch: dict[str, list[object]], column: str, row: int) -> list[str]:
        known = getattr(self.table.features[column], "names", None)
        values = batch[column]
        if known:  # a ClassLabel: integers, -1 where there is none
            values = [known[value] if isinstance(value, int) and value >= 0 else None for value in values]
        return as_texts(values, range(row, row + len(values)), f"{self.name}, row")


def open_hub(source: str) -> HubSplit:
    """The split of a source such as "hf:owner/name:validation" (train if none is named).

    Raises MissingDependencyError without the package, DataError with the hub's own words if it cannot be loaded.
    """
    datasets = load_optional("datasets", source)
    name, _, split = source.removeprefix(PREFIX).partition(":")
    if not name:
        raise DataError(f"{source!r} names no data set: write hf:NAME or hf:NAME:SPLIT")
    try:
        return HubSplit(source, datasets.load_dataset(name, split=split or "train"))
    except Exception as error:  # the package raises errors of many libraries: network, hub, formats
        told = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"cannot load {source}: {told}") from error
