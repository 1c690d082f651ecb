"""Strings in a file: every format gives back what was written, and a file is whole or not there."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from model.errors import CharwganError, ConfigurationError
from model.writing import check_suffix, write_texts

PLAIN = [["Anna", "Bo"], [], ["O'Neil", "x" * 1000], ["zoë", "日本", "👩‍👩‍👧", " padded ", ""]]
AWKWARD = [["a,b", 'say "hi"', '"', ",", "a\nb"], ["a\r\nb", "\r", "tab\tbed", "\u2028", "back\\slash", "'", "= 1 + 1"]]
SUFFIXES = [".txt", ".csv", ".jsonl", ".parquet"]

Rows = list[tuple[int, str]]


def rows_of_csv(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["index", "text"]
    return [(int(index), text) for index, text in rows]


def rows_of_jsonl(path: Path) -> Rows:
    rows = [json.loads(line) for line in path.read_bytes().removesuffix(b"\n").split(b"\n")]
    assert all(row.keys() == {"index", "text"} for row in rows)
    return [(row["index"], row["text"]) for row in rows]


def rows_of_parquet(path: Path) -> Rows:
    table = pyarrow.parquet.read_table(path)
    assert table.schema.equals(pyarrow.schema([("index", pyarrow.int64()), ("text", pyarrow.string())]))
    return list(zip(table["index"].to_pylist(), table["text"].to_pylist(), strict=True))


READERS: dict[str, Callable[[Path], Rows]] = {
    ".csv": rows_of_csv,
    ".jsonl": rows_of_jsonl,
    ".parquet": rows_of_parquet,
}


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("slices", [PLAIN, AWKWARD], ids=["plain", "awkward"])
@pytest.mark.parametrize("first", [0, 41, 2**40])
def test_indices_and_texts_come_back_as_they_were(
    tmp_path: Path, suffix: str, slices: list[list[str]], first: int
) -> None:
    path = tmp_path / f"out{suffix}"
    write_texts(path, slices, first)
    texts = [text for part in slices for text in part]
    assert READERS[suffix](path) == list(enumerate(texts, first))
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_file_is_one_line_a_string_in_utf_8(tmp_path: Path) -> None:
    write_texts(tmp_path / "out.txt", PLAIN, 9)
    expected = "".join(text + "\n" for part in PLAIN for text in part)
    assert (tmp_path / "out.txt").read_bytes() == expected.encode()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_strings_make_a_file_without_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write_texts(path, iter(()))
    if suffix in (".txt", ".jsonl"):
        assert path.read_bytes() == b""
    else:
        assert READERS[suffix](path) == []


def test_parquet_gathers_small_slices_into_large_row_groups(tmp_path: Path) -> None:
    write_texts(tmp_path / "out.parquet", (["ab"] * 256 for _ in range(257)))
    data = pyarrow.parquet.ParquetFile(tmp_path / "out.parquet").metadata
    assert [data.row_group(i).num_rows for i in range(data.num_row_groups)] == [65536, 256]


@pytest.mark.parametrize("name", ["out.xlsx", "out", "out.CSV", "csv"])
def test_another_suffix_is_refused_with_the_formats_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"one of \.txt, \.csv, \.jsonl, \.parquet, got '{name}'") as caught:
        write_texts(tmp_path / name, PLAIN)
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())
    for suffix in SUFFIXES:
        check_suffix(Path(f"out{suffix}"))


def failing(error: BaseException) -> Iterator[list[str]]:
    yield ["some", "strings"]
    raise error


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [RuntimeError("the model broke"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_strings_that_fail_on_the_way_leave_no_file(tmp_path: Path, suffix: str, error: BaseException) -> None:
    with pytest.raises(type(error)):
        write_texts(tmp_path / f"out{suffix}", failing(error))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_strings_that_fail_on_the_way_keep_the_file_that_was_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"the old one")
    with pytest.raises(RuntimeError, match="the model broke"):
        write_texts(path, failing(RuntimeError("the model broke")))
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_two_writers_of_one_file_do_not_write_into_each_others(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"

    def interrupted() -> Iterator[list[str]]:
        yield ["mine"]
        write_texts(path, [["another's", "whole"]])
        assert path.exists()
        yield ["still mine"]

    write_texts(path, interrupted())
    texts = path.read_text().splitlines() if suffix == ".txt" else [text for _, text in READERS[suffix](path)]
    assert texts == ["mine", "still mine"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_old_file_is_replaced(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"the old one" * 1000)
    write_texts(path, [["new"]])
    assert b"the old one" not in path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("parent", ["missing", "file"])
def test_a_disk_that_refuses_is_an_error_of_one_line(tmp_path: Path, suffix: str, parent: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CharwganError, match=rf"cannot write .*out\{suffix}"):
        write_texts(tmp_path / parent / f"out{suffix}", PLAIN)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
