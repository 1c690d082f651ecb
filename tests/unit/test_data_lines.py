"""Reading: every format, every compression, and what is said about files that cannot be read."""

import csv
import gzip
import importlib
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CharwganError, ConfigurationError, DataError
from training.configuration import DataConfig
from training.data import Corpus, open_dataset
from training.data.lines import LINE_LIMIT, whole_lines
from training.data.sources import CHUNK

TEXTS = ["Ada", "Åsa", ' say "hi", x ', "日本", "Ada", "tab\there", "🎉"]
LABELS = ["en", "sv", "en", "ja", "en", "", "en"]
Open = Callable[..., Corpus]

# pyarrow carries no types.
pa = importlib.import_module("pyarrow")
pq = importlib.import_module("pyarrow.parquet")


@pytest.fixture
def open_text(tmp_path: Path) -> Open:
    def opened(*sources: Path | str, **options: object) -> Corpus:
        corpus = open_dataset(DataConfig(sources=tuple(map(str, sources)), **options), tmp_path / "cache")
        assert isinstance(corpus, Corpus)
        return corpus

    return opened


def strings(corpus: Corpus) -> list[str]:
    return sorted(corpus.alphabet.decode(np.concatenate([corpus.train, corpus.held_out])))


def as_lines() -> bytes:
    return "".join(text + "\n" for text in TEXTS).encode()


def as_csv(delimiter: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["name", "language"])
    writer.writerows(zip(TEXTS, LABELS, strict=True))
    return out.getvalue().encode()


def as_jsonl() -> bytes:
    records = [{"name": text, "language": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def as_parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"name": TEXTS, "language": LABELS}), out, row_group_size=3)
    return out.getvalue()


FORMATS = {
    "txt": as_lines(),
    "csv": as_csv(","),
    "tsv": as_csv("\t"),
    "jsonl": as_jsonl(),
    "ndjson": as_jsonl(),
    "parquet": as_parquet(),
}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


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
        with pytest.raises(DataError, match=rf"names\.{suffix}.* has no (column|field) '(nmae|3)': .*name, language"):
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


def test_a_quoted_csv_text_may_hold_line_ends(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'text\r\n"two\nlines"\r\n"a\r\nb"\r\n')
    assert strings(open_text(path)) == ["a\r\nb", "two\nlines"]


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


@pytest.mark.parametrize(("name", "header"), [("a.txt", b""), ("a.csv", b"text,id\n"), ("a.jsonl", b"")])
def test_bad_utf8_is_an_error_that_names_file_and_line(
    tmp_path: Path, open_text: Open, name: str, header: bytes
) -> None:
    rows = [b"good", b"b\xffd", b"fine"]
    if name == "a.jsonl":
        rows = [b'{"text": "' + row + b'"}' for row in rows]
    if name == "a.csv":
        rows = [row + b",1" for row in rows]
    path = tmp_path / name
    path.write_bytes(header + b"\n".join(rows))
    line = 2 + header.count(b"\n")
    with pytest.raises(DataError, match=rf"{name}, line {line}: not UTF-8: set data\.bad_utf8"):
        open_text(path)
    replaced = open_text(path, bad_utf8="replace")
    assert strings(replaced) == ["b\ufffdd", "fine", "good"]
    assert replaced.report.bad_utf8_replaced == 1
    skipped = open_text(path, bad_utf8="skip")
    assert strings(skipped) == ["fine", "good"]
    assert skipped.report.bad_utf8_skipped == 1


def test_a_lone_surrogate_of_json_and_a_bad_label_count_as_bad_utf8(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "\\ud800"}\n{"text": "\\ud83d\\ude00"}\n')
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        open_text(path)
    assert strings(open_text(path, bad_utf8="skip")) == ["a", "😀"]
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,kind\na,\xff\nb,y\nc,y\n")
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        open_text(path, label="kind")
    assert open_text(path, label="kind", bad_utf8="replace").label_names == ("y", "\ufffd")
    assert open_text(path, label="kind", bad_utf8="skip").label_names == ("y",)


def test_a_parquet_string_that_is_not_utf8_counts_as_bad_utf8(tmp_path: Path, open_text: Open) -> None:
    column = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": column}), path)
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        open_text(path)
    assert strings(open_text(path, bad_utf8="skip")) == ["a", "c"]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl"])
def test_a_binary_file_is_refused_by_name_and_line(tmp_path: Path, open_text: Open, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"text\n\x00\x01\x02")
    with pytest.raises(DataError, match=rf"{name}, line 2: holds a NUL byte, so it is binary"):
        open_text(path)
    path.write_text("text\nabc\n", encoding="utf-16")
    with pytest.raises(DataError, match="convert UTF-16"):
        open_text(path)


def test_a_nul_character_in_json_is_refused_by_line(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b\\u0000c"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: holds a NUL character"):
        open_text(path)
    path.write_text('{"text": "a", "kind": ""}\n{"text": "b", "kind": "\\u0000"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: holds a NUL character"):
        open_text(path, column="text", label="kind")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", b'{"text": "a"} {"text": "b"}\n', r"a\.jsonl, line 1: not JSON: something follows .* column 14"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl, line 1: not JSON"),
        ("a.jsonl", b'{"text": "a"}\n["b"]\n', r"a\.jsonl, line 2: every line must be a JSON object, got list"),
        ("a.csv", b'text\n"' + b"x" * 200_000, r"a\.csv, line 2: not csv: field larger"),
        ("a.parquet", b"text\n", r"a\.parquet is not a readable parquet file"),
        ("a.txt.gz", gzip.compress(b"abc\n" * 99)[:-9], r"a\.txt\.gz is damaged or cut short"),
        ("a.txt.gz", b"plain\n", r"a\.txt\.gz is damaged or cut short"),
        ("a.txt.zst", zstandard.compress(os.urandom(9999).hex().encode())[:-9], r"a\.txt\.zst is damaged or cut short"),
        ("a.txt.zst", b"plain\n", r"a\.txt\.zst is damaged"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(
    tmp_path: Path, open_text: Open, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_text(tmp_path / name)


def test_compressed_files_of_several_members_are_read_to_the_end(tmp_path: Path, open_text: Open) -> None:
    for suffix in (".gz", ".zst"):
        path = tmp_path / f"a.txt{suffix}"
        path.write_bytes(COMPRESSIONS[suffix]((b"a" * 99 + b"\n") * 30_000) + COMPRESSIONS[suffix](b"b\n"))
        assert open_text(path, duplicates="drop").report.lines == 30_001


def test_the_format_option_goes_before_the_name(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "names.dat.gz"
    path.write_bytes(gzip.compress(b"text\na\nb\n"))
    assert strings(open_text(path, format="csv")) == ["a", "b"]
    assert strings(open_text(path)) == ["a", "b", "text"]


@pytest.mark.parametrize("key", ["column", "label"])
def test_a_column_of_plain_lines_is_wrong_use(tmp_path: Path, open_text: Open, key: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\nb\n")
    with pytest.raises(ConfigurationError, match=rf"data\.{key} needs columns, and .*a\.txt is read as lines"):
        open_text(path, **{key: "name"})


def test_several_sources_and_globs_are_read_in_order(tmp_path: Path, open_text: Open) -> None:
    for name in ("b.txt", "a.txt", "c.csv"):
        (tmp_path / name).write_text(f"text\n{name}\n")
    (tmp_path / "d.txt").mkdir()
    corpus = open_text(tmp_path / "*.txt", tmp_path / "c.csv")
    assert strings(corpus) == ["a.txt", "b.txt", "c.csv", "text", "text"]


def test_a_name_with_the_signs_of_a_glob_is_a_file_if_there_is_one(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "a[1].txt"
    path.write_text("a\nb\n")
    assert strings(open_text(path)) == ["a", "b"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.txt", r"there is no file .*missing\.txt: check the path"),
        ("missing*.txt", r"no file matches .*missing\*\.txt"),
        ("folder", r"folder is a directory: name its files with a glob, such as '.*folder/\*\.txt'"),
    ],
)
def test_a_source_that_is_no_file_is_an_error_that_says_what_it_is(
    tmp_path: Path, open_text: Open, source: str, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=message):
        open_text(tmp_path / source)


def test_a_name_that_the_system_refuses_is_an_error_with_its_words(open_text: Open) -> None:
    with pytest.raises(DataError, match=r"cannot read xxx.*: File name too long"):
        open_text("x" * 300)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error_that_names_it(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\nb\n")
    path.chmod(0)
    with pytest.raises(DataError, match=r"cannot read .*a\.txt: Permission denied"):
        open_text(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no text to learn from: it is empty"),
        (b"\n \n\t\n", "no text to learn from: all 3 lines are blank"),
        (b"one\n\n", "leaves 1 sample to learn from: at least 2 are needed"),
    ],
)
def test_too_little_text_is_an_error_that_counts_it(
    tmp_path: Path, open_text: Open, content: bytes, message: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.txt:? {message}"):
        open_text(path)


def test_standard_input_is_read_like_a_file_and_known_by_its_content(
    monkeypatch: pytest.MonkeyPatch, open_text: Open
) -> None:
    options = {"format": "parquet", "column": "name", "max_length": 20}
    folders = []
    for content, given_options in ((as_parquet(), options), (as_parquet(), options), (as_lines(), {"max_length": 20})):
        with io.TextIOWrapper(io.BytesIO(content)) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            corpus = open_text("-", **given_options)
        assert strings(corpus) == sorted(TEXTS)
        folders.append(corpus.folder)
    assert folders[0] == folders[1] != folders[2]


def test_a_pipe_is_read_like_a_file(tmp_path: Path, open_text: Open) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(as_lines(),))
    writer.start()
    assert strings(open_text(path, max_length=20)) == sorted(TEXTS)
    writer.join()


def test_a_missing_reader_is_named_with_the_command_that_installs_it(
    tmp_path: Path, open_text: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "a.txt.zst"
    path.write_bytes(zstandard.compress(b"a\nb\n"))
    with pytest.raises(
        CharwganError, match=r"a\.txt\.zst needs the package zstandard.*pip install 'charwgan\[train\]'"
    ):
        open_text(path)
