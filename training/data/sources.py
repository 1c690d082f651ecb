"""Files, globs and standard input as streams of bytes, each known by what changes with its content."""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from model.errors import ConfigurationError, DataError, SourceError
from training.data.optional import load_optional

CHUNK = 1 << 20
# One zstd block of 4 bytes can stand for 128 KiB, so this much input is at most 32 MiB of output at a time.
_ZSTD_INPUT = 1 << 10
_COMPRESSIONS = (".gz", ".zst")
_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".npz": "npz",
}

Identity = tuple[str | int, ...]


@dataclass(frozen=True)
class File:
    """A source of bytes.

    name: as the user wrote it, for messages.  opened: gives the bytes from their start, compressed as they lie.
    identified: what changes when the content does.
    """

    name: str
    format: str
    compression: str
    opened: Callable[[], BinaryIO]
    identified: Callable[[], Identity]

    def identity(self) -> Identity:
        """What a cache knows this content by.  Raises DataError if the file is gone."""
        with reading(self.name):
            return self.identified()

    def chunks(self) -> Iterator[bytes]:
        """The decompressed content in pieces of about CHUNK bytes.  Raises DataError if it is damaged or unreadable."""
        with reading(self.name), self.opened() as raw:
            if self.compression == ".gz":
                with gzip.GzipFile(fileobj=raw) as inflated:
                    yield from _pieces(inflated.read)
            elif self.compression == ".zst":
                yield from _inflate_zstd(raw, self.name)
            else:
                yield from _pieces(raw.read)

    @contextmanager
    def seekable(self) -> Iterator[BinaryIO]:
        """The decompressed content as a file that can seek, as Parquet needs; unpacked on disk if compressed."""
        if not self.compression:
            with reading(self.name), self.opened() as raw:
                yield raw
            return
        with temporary_file() as unpacked:
            for chunk in self.chunks():
                with writing_temporary():
                    unpacked.write(chunk)
            unpacked.seek(0)
            yield unpacked


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what can go wrong while reading into a DataError that names the source."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is damaged or cut short: {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or error}") from error


@contextmanager
def writing_temporary() -> Iterator[None]:
    """Turn a full disk under a temporary file into a DataError that says which one."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write a temporary file in {tempfile.gettempdir()}: {error.strerror}: set TMPDIR to another disk"
        ) from error


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """A file without a name, gone when it is closed or the process ends."""
    with ExitStack() as stack:
        with writing_temporary():
            file = stack.enter_context(tempfile.TemporaryFile())
        yield file


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while chunk := read(CHUNK):
        yield chunk


def _inflate_zstd(raw: BinaryIO, name: str) -> Iterator[bytes]:
    """Frame by frame: zstandard's own stream reader takes a file that was cut short for a whole one."""
    zstandard = load_optional("zstandard", name)
    frame, pieces, size = None, [], 0
    while data := raw.read(_ZSTD_INPUT):
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                pieces.append(frame.decompress(data))
            except zstandard.ZstdError as error:
                raise DataError(f"{name} is damaged: {error}") from error
            size += len(pieces[-1])
            data = frame.unused_data
            frame = None if frame.eof else frame
        if size >= CHUNK:
            yield b"".join(pieces)
            pieces, size = [], 0
    yield b"".join(pieces)
    if frame is not None:
        raise EOFError("its last zstd frame does not end")


def split_name(name: str) -> tuple[str, str]:
    """Format and compression that a file's name tells: "a.csv.gz" gives ("csv", ".gz").  Other names are of lines."""
    path = Path(name.lower())
    compression = path.suffix if path.suffix in _COMPRESSIONS else ""
    inner = path.with_suffix("") if compression else path
    return _FORMATS.get(inner.suffix, "lines"), compression


def find_files(source: str, wanted: str, stack: ExitStack) -> list[File]:
    """The files that a source stands for: one path, a glob's matches in order of name, or ``-`` for standard input.

    wanted: data.format.  stack: closes the temporary files that hold what can be read only once.
    Raises SourceError for a directory, a path that is not there, and a glob without a match.
    """
    if not source.strip():
        raise SourceError(f"a source has an empty name, got {source!r}: name a file, or leave it out")
    if source == "-":
        return [_spool("standard input", sys.stdin.buffer, wanted, stack)]
    path = Path(source)
    with reading(source):  # a name may be too long to ask for
        exists = path.exists()
    if exists:
        return [_one_file(path, wanted, stack)]
    if not glob.has_magic(source):
        raise SourceError(f"there is no file {source}: check the path")
    found = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
    files = [_one_file(match, wanted, stack) for match in found if not match.is_dir()]
    if not files:
        raise SourceError(
            f"no file matches {source}: check the pattern, and quote it so that the shell leaves it alone"
        )
    return files


def _one_file(path: Path, wanted: str, stack: ExitStack) -> File:
    name = str(path)
    if path.is_dir():
        raise SourceError(
            f"{name} is a directory without images (png, jpg, webp): "
            f"name files of text with a glob, such as '{path / '*.txt'}'"
        )
    if not path.is_file():  # a pipe gives its bytes once, and the cache has to know them before they are read
        with reading(name), path.open("rb") as pipe:
            return _spool(name, pipe, wanted, stack)
    told, compression = split_name(name)
    return File(name, told if wanted == "auto" else wanted, compression, lambda: path.open("rb"), lambda: _stat(path))


def _stat(path: Path) -> Identity:
    status = path.stat()
    return str(path.resolve()), status.st_size, status.st_mtime_ns


def _spool(name: str, stream: BinaryIO, wanted: str, stack: ExitStack) -> File:
    """Keep a stream in a temporary file without a name, to know its digest before it is read."""
    spool = stack.enter_context(temporary_file())
    digest = hashlib.sha256()
    with reading(name):
        for chunk in _pieces(stream.read):
            digest.update(chunk)
            with writing_temporary():
                spool.write(chunk)
    with writing_temporary():
        spool.flush()

    def opened() -> BinaryIO:
        again = os.fdopen(os.dup(spool.fileno()), "rb")
        again.seek(0, io.SEEK_SET)
        return again

    format_ = "lines" if wanted == "auto" else wanted
    if format_ == "npz":
        raise ConfigurationError(f"{name} cannot be read as npz: name a file")
    identity = ("stream", digest.hexdigest())
    return File(name, format_, "", opened, lambda: identity)
