"""What the command line asks of a model folder: strings of a seed, all or one part of several, and scores of lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from model.errors import ConfigurationError
from model.reading import read_texts
from model.terminal import as_shown
from model.threads import check_threads

MOST = 2**53  # strings of a seed that are numbered; their numbers pass through JSON unharmed


def strings(
    model: Path, threads: int | None, seed: int, first: int, n: int, label: str | None = None
) -> Iterator[list[str]]:
    """Strings first .. first + n - 1 of a seed in slices, from a model folder; label as in ``Sampler.latents``.

    Raises at once: ArtifactError if it is no model, ConfigurationError for more threads than processors or for a label
    that the model does not have.
    """
    from model.artifact import Artifact
    from model.sampler import Sampler

    check_threads(threads, "--threads")
    artifact = Artifact.load(model)
    if label is not None:
        artifact.labels.position(label)
    return Sampler(artifact, threads).stream(seed, first, n, label)


def kind_of(model: Path) -> str:
    """What the model in a folder makes, unverified: text where it does not say, or where there is none."""
    try:
        return str(json.loads((model / "config.json").read_bytes()).get("kind", "text"))
    except (OSError, ValueError, AttributeError):
        return "text"


@dataclass(frozen=True)
class Given:
    """What a person says that samples shall be made of; each where the model takes it."""

    caption: str | None = None
    box: str | None = None
    pictures: Path | None = None


def samples(
    model: Path,
    threads: int | None,
    seed: int,
    first: int,
    n: int,
    label: str | None,
    out: Path | None,
    given: Given = Given(),
) -> Iterator[list[str]]:
    """Samples first .. first + n - 1 of a seed of a model of images or points: lines of points, in slices.

    out: the file that they are written to when the first slice is asked for, and then there are no lines; or None.
    Raises ConfigurationError for a file that has no format for them, for a label that the model does not have, for what
    is given and not needed or the reverse, or for more threads than processors; DataError for pictures that cannot be
    read; ArtifactError if it is no such model.
    """
    from model.given import rows_given
    from model.sample_files import check_format, lines, write_samples
    from model.samples import SampleModel, SampleSampler, load_model

    check_threads(threads, "--threads")
    found = load_model(model)
    assert isinstance(found, SampleModel)
    check_format(out, found, n)
    rows = rows_given(found.given, given.caption, given.box, given.pictures)
    parts = SampleSampler(found, threads).stream(seed, first, n, label, rows)
    labels = found.labels.of_strings(seed, first, n, label) if found.labels or label is not None else None
    return lines(parts) if out is None else write_samples(out, parts, n, first, labels, found)


def scored(model: Path, file: BinaryIO, name: str, *, as_json: bool, label: str | None = None) -> Iterator[list[str]]:
    """Lines of the critic's score of each text of a file and the text, in slices; name: of the file, for messages.

    label: that the texts are scored as, which a conditional model needs.
    Raises ArtifactError if the folder is no model, DataError as ``read_texts`` does, ConfigurationError for a label
    that is missing or that the model does not have.
    """
    from model.artifact import Artifact
    from model.sampler import Scorer

    scorer = Scorer(Artifact.load(model))
    for texts in read_texts(file, name):
        scores = scorer.scores(texts, () if label is None else [label] * len(texts)).tolist()
        if as_json:
            rows = ({"text": text, "score": score} for text, score in zip(texts, scores, strict=True))
            yield [json.dumps(row, ensure_ascii=False) for row in rows]
        else:
            yield [f"{score:.6f}\t{text}" for text, score in zip(as_shown(texts), scores, strict=True)]


def part_of(shard: str | None, first: int, n: int) -> tuple[int, int]:
    """First string and number of strings of part i of K, "i/K"; of all where shard is None.

    Raises ConfigurationError if it is not that, or if there are not so many strings of a seed.
    """
    if first + n > MOST:
        raise ConfigurationError(f"--first plus -n must be at most {MOST} (2^53), got {first + n}: take fewer strings")
    if shard is None:
        return first, n
    number, slash, count = shard.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        raise ConfigurationError(f"--shard takes i/K with i from 0 to K - 1, such as 0/4, got {shard!r}")
    i, k = int(number), int(count)
    start, end = n * i // k, n * (i + 1) // k
    return first + start, end - start
