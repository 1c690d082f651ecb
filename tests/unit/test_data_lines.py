"""Reading: every format and every compression, columns, lines and what ends them."""

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_files import COMPRESSIONS, FORMATS, LABELS, TEXTS, Open, strings

from model.errors import DataError, SourceError
from training.data.lines import LINE_LIMIT, whole_lines
from training.data.sources import CHUNK

# pyarrow carries no types.
pa = importlib.import_module("pyarrow")
pq = importlib.import_module("pyarrow.parquet")


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_texts_under_every_compression(
    tmp_path: Path, open_text: Open, suffix: str, compression: str
) -> None:
    path = tmp_path / f"names.{suffix}{compression}"
    path.write_bytes(COMPRESSIONS[compression](FORMATS[suffix]))
    corpus = open_text(path, column=None if suffix == "txt" else "name", max_length=20)
    assert strings(corpus) == sorted(TEXTS)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_with_columns_gives_labels(tmp_path: Path, open_text: Open, suffix: str) -> None:
    path = tmp_path / f"names.{suffix}"
    path.write_bytes(FORMATS[suffix])
    corpus = open_text(path, column="name", label="language", max_length=20)
    assert corpus.label_names == ("", "en", "ja", "sv")
    assert corpus.train_labels is not None
    assert corpus.held_out_labels is not None
    rows = corpus.alphabet.decode(np.concatenate([corpus.train, corpus.held_out]))
    marks = np.concatenate([corpus.train_labels, corpus.held_out_labels])
    assert sorted(zip(rows, (corpus.label_names[mark] for mark in marks), strict=True)) == sorted(
        zip(TEXTS, LABELS, strict=True)
    )


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl"])
def test_a_column_can_be_numbered_from_one(tmp_path: Path, open_text: Open, suffix: str) -> None:
    path = tmp_path / f"names.{suffix}"
    path.write_bytes(FORMATS[suffix])
    assert strings(open_text(path, column="2")) == sorted(filter(None, LABELS))


def test_a_column_whose_name_is_a_number_goes_before_its_position(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "years.csv"
    path.write_text("2,1\na,b\nc,d\n")
    assert strings(open_text(path, column="2")) == ["a", "c"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_missing_column_lists_the_columns_there_are(tmp_path: Path, open_text: Open, suffix: str) -> None:
    path = tmp_path / f"names.{suffix}"
    path.write_bytes(FORMATS[suffix])
    for options in ({"column": "nmae"}, {"column": "name", "label": "nmae"}, {"column": "3"}):
        with pytest.raises(SourceError, match=rf"names\.{suffix}.* has no (column|field) '(nmae|3)': .*name, language"):
            open_text(path, **options)
    with pytest.raises(DataError, match=r"name, language: set data\.column"):
        open_text(path)


def test_the_only_column_and_one_called_text_need_no_name(tmp_path: Path, open_text: Open) -> None:
    for i, content in enumerate(["word\na\nb\n", "id,text\n1,a\n2,b\n"]):
        path = tmp_path / f"{i}.csv"
        path.write_text(content)
        assert strings(open_text(path)) == ["a", "b"]
    path = tmp_path / "labelled.csv"
    path.write_text("word,kind\na,1\nb,2\n")
    assert strings(open_text(path, label="kind")) == ["a", "b"]


def test_of_two_columns_of_one_name_the_first_is_read(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,x\na,c\nb,d\n")
    assert strings(open_text(path, column="x")) == ["a", "b"]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a", "b"]), pa.array(["c", "d"])], names=["x", "x"]), path)
    assert strings(open_text(path, column="x")) == ["a", "b"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.txt"])
def test_a_line_break_within_a_text_becomes_a_space_and_is_counted(tmp_path: Path, open_text: Open, name: str) -> None:
    texts = ["two\nlines", "a\r\nb", "c\rd", "\n\r\n", "plain", " x\ty "]
    path = tmp_path / name
    if name == "a.csv":
        path.write_bytes(("text\r\n" + "".join(f'"{text}"\r\n' for text in texts)).encode())
    elif name == "a.jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    elif name == "a.parquet":
        pq.write_table(pa.table({"text": texts}), path)
    else:
        path.write_bytes(b"c\rd\r\nplain\nx\r\r\n")
    corpus = open_text(path)
    found = ["c d", "plain", "x "] if name == "a.txt" else [" x\ty ", "a b", "c d", "plain", "two lines"]
    assert strings(corpus) == found
    assert corpus.report.broken == (2 if name == "a.txt" else 3)
    assert any(
        f"{corpus.report.broken} with a line break within, made a space" in line for line in corpus.report.sentences()
    )


def test_short_records_missing_fields_and_nulls_count_as_blank(tmp_path: Path, open_text: Open) -> None:
    contents = {
        "a.csv": b"id,text\n1,a\n2\n3,b\n",
        "a.jsonl": b'{"text": "a"}\n{"other": 1}\n{"text": null}\n\n{"text": "b"}\n',
    }
    for (name, content), blank in zip(contents.items(), (1, 3), strict=True):
        (tmp_path / name).write_bytes(content)
        corpus = open_text(tmp_path / name)
        assert strings(corpus) == ["a", "b"]
        assert corpus.report.blank == blank


def test_numbers_are_written_out_and_other_values_refused(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": 12}\n{"text": 1.5}\n')
    assert strings(open_text(path)) == ["1.5", "12"]
    path.write_text('{"text": "a"}\n{"text": ["b"]}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: .*string or a number, got list"):
        open_text(path)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [[1], [2]]}), path)
    with pytest.raises(DataError, match=r"a\.parquet, row 1: .*got list"):
        open_text(path)


def test_parquet_of_numbers_bytes_categories_and_nulls_is_read_as_text(tmp_path: Path, open_text: Open) -> None:
    columns = {
        "numbers": (pa.array([7, 8, None]), ["7", "8"]),
        "bytes": (pa.array([b"x", b"y", None]), ["x", "y"]),
        "categories": (pa.array(["u", "v", None]).dictionary_encode(), ["u", "v"]),
    }
    for name, (column, expected) in columns.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"text": column}), path)
        assert strings(open_text(path)) == expected


def test_line_ends_and_a_byte_order_mark_are_not_text_and_spaces_are(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf one \r\ntwo\n\r\n  \t\n\xe3\x80\x80\nthree\r")
    corpus = open_text(path, max_length=9)
    assert strings(corpus) == [" one ", "three", "two"]
    assert corpus.report.lines == 6
    assert corpus.report.blank == 3


def test_only_line_feeds_end_lines(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\x0bb\x0cc\x85d\u2028e\nf\n", encoding="utf-8", newline="")
    assert strings(open_text(path)) == ["a\x0bb\x0cc\x85d\u2028e", "f"]
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\u2028b"}\n{"text": "c"}\n', encoding="utf-8", newline="")
    assert strings(open_text(path)) == ["a\u2028b", "c"]


def test_a_byte_order_mark_is_no_part_of_the_first_column_or_object(tmp_path: Path, open_text: Open) -> None:
    for name, content in {"a.csv": b"text,id\na,1\nb,2\n", "a.jsonl": b'{"text":"a"}\n{"text":"b"}\n'}.items():
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content)
        assert strings(open_text(tmp_path / name, column="text")) == ["a", "b"]


@dataclass
class Chunks:
    """Stands in for a file that comes in the given pieces."""

    pieces: list[bytes]
    name: str = "pieces"

    def chunks(self) -> Iterator[bytes]:
        yield from self.pieces


@given(st.lists(st.binary(max_size=9).map(lambda data: data.replace(b"\0", b"\n")), max_size=12))
def test_lines_do_not_depend_on_how_the_bytes_arrive(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    number, read = 1, b""
    for first, lines in whole_lines(Chunks(pieces)):  # type: ignore[arg-type]
        assert first == number
        number += lines.count(b"\n")
        read += lines
    whole = data.removeprefix(b"\xef\xbb\xbf")
    assert read == (whole if whole.endswith(b"\n") else whole.removesuffix(b"\r"))


def test_a_file_without_line_ends_stops_after_a_bounded_number_of_bytes() -> None:
    taken = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(CHUNK)
            yield b"x" * CHUNK

    source = Chunks([])
    source.chunks = endless  # type: ignore[method-assign]
    with pytest.raises(DataError, match=rf"pieces, line 1: .*at most {LINE_LIMIT} bytes"):
        list(whole_lines(source))  # type: ignore[arg-type]
    assert sum(taken) <= LINE_LIMIT + CHUNK


def test_a_line_at_the_bound_is_read_and_one_byte_more_is_refused_by_number(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\n" + b"b" * LINE_LIMIT + b"\nc\n")
    assert open_text(path).report.lines == 3
    path.write_bytes(b"a\n" + b"b" * (LINE_LIMIT + 1) + b"\nc\n")
    with pytest.raises(DataError, match=r"a\.txt, line 2: a line may have at most 1048576 bytes"):
        open_text(path)
