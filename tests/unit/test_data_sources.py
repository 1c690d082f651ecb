"""Sources: several, globs and streams, and what is said about those that cannot be read."""

import gzip
import importlib
import io
import os
import sys
import threading
from pathlib import Path

import pytest
import zstandard
from text_files import COMPRESSIONS, TEXTS, Open, as_lines, as_parquet, strings

from model.errors import CharwganError, ConfigurationError, DataError, SourceError

# pyarrow carries no types.
pa = importlib.import_module("pyarrow")
pq = importlib.import_module("pyarrow.parquet")


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
        ("a.txt.gz", gzip.compress(b"abc\n" * 99, mtime=0)[:-9], r"a\.txt\.gz is damaged or cut short"),
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
        (
            "folder",
            r"folder is a directory without images \(png, jpg, webp\): name files of text with a glob, "
            r"such as '.*folder/\*\.txt'",
        ),
    ],
)
def test_a_source_that_is_no_file_is_an_error_that_says_what_it_is(
    tmp_path: Path, open_text: Open, source: str, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SourceError, match=message) as caught:
        open_text(tmp_path / source)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("source", ["", "  "])
def test_a_source_without_a_name_is_said_to_have_none(open_text: Open, source: str) -> None:
    with pytest.raises(SourceError, match="a source has an empty name"):
        open_text(source)


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
    with pytest.raises(CharwganError, match=r"a\.txt\.zst needs the package zstandard.*pip install '\.\[train\]'"):
        open_text(path)
