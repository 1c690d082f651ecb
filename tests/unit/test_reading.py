"""Lines to be scored: read as training reads them."""

from __future__ import annotations

import io

import pytest

from model.errors import DataError
from model.reading import read_texts


def read(data: bytes, size: int = 256) -> list[list[str]]:
    return list(read_texts(io.BytesIO(data), "names.txt", size))


def test_only_line_feeds_end_lines_and_spaces_are_text() -> None:
    assert read(b"anna\n bo \r\n\nc\rd\nx\xe2\x80\xa8y") == [["anna", " bo ", "", "c\rd", "x\u2028y"]]


def test_a_byte_order_mark_is_passed_over_at_the_start_alone() -> None:
    assert read(b"\xef\xbb\xbfanna\n\xef\xbb\xbfbo\n") == [["anna", "\ufeffbo"]]


def test_lines_come_in_slices() -> None:
    assert read(b"a\nb\nc\n", 2) == [["a", "b"], ["c"]]
    assert read(b"") == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"anna\nb\xff\n", r"names\.txt, line 2: not UTF-8 \(invalid start byte\)"),
        (b"anna\n\nb\0c\n", r"names\.txt, line 3: holds a NUL character"),
    ],
)
def test_what_training_refuses_is_refused_by_its_line(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(data)


def test_a_file_that_cannot_be_read_is_an_error_that_names_it() -> None:
    class Broken(io.BytesIO):
        def __next__(self) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(DataError, match=r"cannot read names\.txt: Input/output error"):
        list(read_texts(Broken(b"a"), "names.txt"))
