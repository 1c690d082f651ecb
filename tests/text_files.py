"""The same few texts as a file of every format, and what a corpus learned of them."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
from collections.abc import Callable

import numpy as np
import zstandard

from training.data import Corpus

TEXTS = ["Ada", "Åsa", ' say "hi", x ', "日本", "Ada", "tab\there", "🎉"]
LABELS = ["en", "sv", "en", "ja", "en", "", "en"]
Open = Callable[..., Corpus]

# pyarrow carries no types.
pa = importlib.import_module("pyarrow")
pq = importlib.import_module("pyarrow.parquet")


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
