"""The texts of a file, block by block, whatever its format; no more than a block is in memory.

Bytes that are not UTF-8 come as lone surrogates (Python's ``surrogateescape``) and blank texts come too:
``training.data.cleaning`` decides about both, in one place for every format.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from model.errors import ConfigurationError, DataError, SourceError
from training.data.optional import load_optional
from training.data.sources import File, Identity

if TYPE_CHECKING:
    from training.configuration import DataConfig

LINE_LIMIT = 1 << 20
_ROWS = 8192
_NOTHING: dict[str, Any] = {}
_JSON = json.JSONDecoder()
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Consecutive texts of a source, with the line or row that each stands on (from 1), and labels if asked for."""

    texts: list[str]
    numbers: Sequence[int]
    labels: list[str] | None = None


@dataclass(frozen=True)
class TextFile:
    """A file as a source of texts."""

    file: File

    @property
    def name(self) -> str:
        """The file's name, as the user wrote it."""
        return self.file.name

    def identity(self) -> Identity:
        """Path, size and time, or the digest of a stream.  Raises DataError if the file is gone."""
        return self.file.identity()

    def blocks(self, config: DataConfig) -> Iterator[Block]:
        """The texts of the file by its format: plain lines, csv, tsv, jsonl or parquet.

        Raises DataError naming the file, and the line where there is one: binary content, a line over LINE_LIMIT
        bytes, a missing column, a record that cannot be parsed.
        """
        return _READERS[self.file.format](self.file, config)


def whole_lines(file: File) -> Iterator[tuple[int, bytes]]:
    """Runs of whole lines, each with the number of its first; a byte order mark at the start is left out."""
    number, rest, first = 1, b"", True
    for chunk in file.chunks():
        data = rest + chunk
        if first and len(data) < len(_BOM):
            rest = data
            continue
        if first:
            data, first = data.removeprefix(_BOM), False
        if b"\0" in data:
            raise _binary(file.name, number + data[: data.index(b"\0")].count(b"\n"))
        end = data.rfind(b"\n") + 1
        _check_lengths(data, number, file.name)
        if end:
            yield number, data[:end]
            number += data.count(b"\n", 0, end)
        rest = data[end:]
    if rest:
        yield number, rest.removesuffix(b"\r")


def _check_lengths(data: bytes, number: int, name: str) -> None:
    # The end of data counts as the end of a line, so what grows without a line end is found as it grows.
    ends = np.append(np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")), len(data))
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.max() > LINE_LIMIT:
        line = number + int(np.argmax(lengths > LINE_LIMIT))
        raise DataError(
            f"{name}, line {line}: a line may have at most {LINE_LIMIT} bytes, this one has more: "
            "check that the file has line ends, or set data.format"
        )


def _binary(name: str, line: int) -> DataError:
    return DataError(
        f"{name}, line {line}: holds a NUL byte, so it is binary and not text: set data.format if it is parquet, "
        "and convert UTF-16 to UTF-8"
    )


def decode(data: bytes) -> str:
    """UTF-8, with each byte that is not as a lone surrogate."""
    return data.decode("utf-8", "surrogateescape")


def read_lines(file: File, config: DataConfig) -> Iterator[Block]:
    """Each line is a text, without its line end (LF or CRLF) and with all its spaces."""
    for key, value in {"column": config.column, "label": config.label}.items():
        if value is not None:
            raise ConfigurationError(
                f"data.{key} needs columns, and {file.name} is read as lines: set data.format to csv, tsv or jsonl"
            )
    for number, data in whole_lines(file):
        texts = decode(data.replace(b"\r\n", b"\n")).removesuffix("\n").split("\n")
        yield Block(texts, range(number, number + len(texts)))


def read_csv(file: File, config: DataConfig) -> Iterator[Block]:
    """Each record after the header is a text; a record too short to have the column counts as blank."""
    rows = csv.reader(_text_lines(file), delimiter="\t" if file.format == "tsv" else ",")
    try:
        names = [name.strip() for name in next(rows, [])]
        if not names:
            return
        text, label = choose_columns(names, config.column, config.label, file.name)
        # A quoted text may span lines, so the number of each record is asked for.
        while batch := [(rows.line_num, row) for row in islice(rows, _ROWS)]:
            texts = [row[text] if text < len(row) else "" for _, row in batch]
            labels = [row[label] if label < len(row) else "" for _, row in batch] if label >= 0 else None
            yield Block(texts, [number for number, _ in batch], labels)
    except csv.Error as error:
        raise DataError(f"{file.name}, line {rows.line_num}: not {file.format}: {error}") from error


def _text_lines(file: File) -> Iterator[str]:
    for _, data in whole_lines(file):
        yield from io.StringIO(decode(data), newline="\n")


def read_jsonl(file: File, config: DataConfig) -> Iterator[Block]:
    """Each line is an object, one field of it the text; one that lacks the field, or has null there, is blank."""
    fields: list[str] = []
    for first, data in whole_lines(file):
        lines = decode(data).removesuffix("\n").split("\n")
        numbers = range(first, first + len(lines))
        records = [_json_object(line, file.name, number) for number, line in zip(numbers, lines, strict=True)]
        fields = fields or _json_fields(records, first, file.name, config)
        if fields:
            columns = [[record.get(field) for record in records] for field in fields]
            texts, *labels = (as_texts(column, numbers, f"{file.name}, line") for column in columns)
            yield Block(texts, numbers, labels[0] if labels else None)
        else:
            yield Block([""] * len(lines), numbers)


def _json_object(line: str, name: str, number: int) -> dict[str, Any]:
    """The object of a line, _NOTHING for a blank line."""
    line = line.strip()
    if not line:
        return _NOTHING
    try:
        record, end = _JSON.raw_decode(line)
        if end < len(line):
            raise ValueError(f"something follows the object at column {end + 1}")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}, line {number}: not JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{name}, line {number}: every line must be a JSON object, got {type(record).__name__}")
    return record


def _json_fields(records: list[dict[str, Any]], first: int, name: str, config: DataConfig) -> list[str]:
    """The fields of the text and, if asked for, the label, by the first object; none if all lines are blank."""
    for number, record in enumerate(records, first):
        if record is not _NOTHING:
            names = list(record)
            chosen = choose_columns(names, config.column, config.label, f"{name}, line {number}", word="field")
            return [names[i] for i in chosen if i >= 0]
    return []


def read_parquet(file: File, config: DataConfig) -> Iterator[Block]:
    """Each row is a text, read a row group at a time and only the columns that are needed; null counts as blank."""
    parquet = load_optional("pyarrow.parquet", file.name)
    arrow = load_optional("pyarrow", file.name)
    with file.seekable() as raw:
        try:
            table = parquet.ParquetFile(raw)
            names = list(table.schema_arrow.names)
            chosen = [i for i in choose_columns(names, config.column, config.label, file.name) if i >= 0]
            row = 1
            for batch in table.iter_batches(batch_size=_ROWS, columns=[names[i] for i in chosen]):
                numbers = range(row, row + len(batch))
                columns = [_arrow_values(batch.column(batch.schema.names.index(names[i]))) for i in chosen]
                texts, *labels = (as_texts(column, numbers, f"{file.name}, row") for column in columns)
                yield Block(texts, numbers, labels[0] if labels else None)
                row += len(batch)
        except arrow.ArrowException as error:
            raise DataError(f"{file.name} is not a readable parquet file: {error}") from error


def _arrow_values(column: Any) -> list[object]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:  # a string column is not checked when it is written
        return list(column.cast("binary").to_pylist())


def as_texts(values: Sequence[object], numbers: Sequence[int], where: str) -> list[str]:
    """Cells as texts: null is blank, a number is written out.  where: file and "line" or "row", for the message.

    Raises DataError for anything else, such as a list.
    """
    if all(type(value) is str for value in values):
        return cast(list[str], values)
    return [_as_text(value, f"{where} {number}") for value, number in zip(values, numbers, strict=True)]


def _as_text(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return decode(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{where}: a text must be a string or a number, got {type(value).__name__}: choose another column")


def choose_columns(
    names: Sequence[str], column: str | None, label: str | None, where: str, word: str = "column"
) -> tuple[int, int]:
    """Positions of the text's column and of the label's (-1 if no label is asked for).

    A column is named, or numbered from 1.  Without data.column the only one there is, or one called text, is taken.
    Raises SourceError listing the columns there are.
    """
    labels = -1 if label is None else _position(names, label, where, word)
    if column is not None:
        return _position(names, column, where, word), labels
    others = [i for i in range(len(names)) if i != labels]
    named = [i for i in others if names[i] == "text"]
    for choice in (others, named):
        if len(choice) == 1:
            return choice[0], labels
    raise SourceError(f"{where} has the {word}s {listing(names)}: set data.column to the one that holds the text")


def _position(names: Sequence[str], wanted: str, where: str, word: str) -> int:
    if wanted in names:
        return list(names).index(wanted)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    raise SourceError(f"{where} has no {word} {wanted!r}: it has {listing(names)}")


def listing(names: Sequence[str], most: int = 30) -> str:
    """Names for a message, cut where they would fill a screen."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


_READERS: dict[str, Callable[[File, DataConfig], Iterator[Block]]] = {
    "lines": read_lines,
    "csv": read_csv,
    "tsv": read_csv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}
