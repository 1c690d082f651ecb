"""What a run's folder holds, as far as it can be read.

A run may be reported while it is being written, after a kill, or before it was evaluated: a missing part is empty,
and an unreadable one is a sentence in ``problems``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.errors import RunError
from training.evaluation.mode_table import ModeTable, read_table
from training.evaluation.table import ScoreTable
from training.runs import ALARM, INTERPOLATION, RECONSTRUCTIONS, is_look

SNAPSHOTS = 6


@dataclass
class Curve:
    """One figure of the log against rounds."""

    rounds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A run's folder in memory.

    curves: by log key.  texts: (round, strings), pictures: (round, PNG), both ascending and at most SNAPSHOTS.
    latents: by the name of its folder the newest of what looks keep of the latents, (round, strings) or (round, PNG).
    table: None where the run was not evaluated where it stands.  problems: sentences about what could not be read.
    alarms: (round, warning) ascending.  last_look: the last round at which there were scores or a warning.
    """

    name: str
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    curves: Mapping[str, Curve]
    texts: list[tuple[int, list[str]]]
    pictures: list[tuple[int, bytes]]
    table: ScoreTable | ModeTable | None
    problems: list[str]
    alarms: list[tuple[int, str]] = field(default_factory=list)
    last_look: int | None = None
    latents: Mapping[str, tuple[int, list[str] | bytes]] = field(default_factory=dict)


def read_run(folder: Path) -> Run:
    """Read the folder of a run.  Raises RunError if there is no such folder."""
    if not folder.is_dir():
        raise RunError(f"cannot report on {folder}: there is no such folder")
    problems: list[str] = []
    log = _log(folder / "log.jsonl", problems)
    curves = _curves(log)
    last = max((round(curve.rounds[-1]) for curve in curves.values()), default=None)
    return Run(
        name=folder.resolve().name,
        config=_json(folder / "config.json", problems),
        data=_json(folder / "data.json", problems),
        curves=curves,
        texts=[(n, _lines(path)) for n, path in _snapshots(folder / "samples", ".txt")],
        pictures=[(n, path.read_bytes()) for n, path in _snapshots(folder / "samples", ".png")],
        table=_table(folder / "metrics.json", last, problems),
        problems=problems,
        alarms=[(round(at), str(row[ALARM])) for at, row in log.items() if ALARM in row],
        last_look=max((round(at) for at, row in log.items() if is_look(row)), default=None),
        latents=dict(_newest(folder)),
    )


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    """The object in a JSON file; empty, with a problem noted if the file is there, where it cannot be read."""
    if not path.exists():
        return {}
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} could not be read: {error}")
        return {}
    if not isinstance(tree, dict):
        problems.append(f"{path.name} could not be read: it holds no JSON object")
        return {}
    return tree


def _table(path: Path, last: int | None, problems: list[str]) -> ScoreTable | ModeTable | None:
    """The table of scores; none, with a problem noted, if it is of another round than the last one logged."""
    tree = _json(path, problems)
    if last is not None and tree.get("round", last) != last:
        problems.append(f"{path.name} is left out: it is of round {tree['round']}, and the run is at round {last}")
        return None
    try:
        return read_table(tree) if tree else None
    except ValueError as error:
        problems.append(f"{path.name} could not be read: {error}")
        return None


def _log(path: Path, problems: list[str]) -> dict[float, dict[str, Any]]:
    """The finite figures and the alarm of each round, ascending.

    Of a round logged twice, before and after a resume, the later counts.
    """
    rows: dict[float, dict[str, Any]] = {}
    unreadable = unfinite = 0
    for row in _log_rows(path):
        at = _number(row.get("round")) if row else None
        if row is None or at is None:
            unreadable += 1
            continue
        figures = {key: _number(value) for key, value in row.items() if key != "round"}
        unfinite += sum(isinstance(row[key], float) for key, value in figures.items() if value is None)
        told = {key: value for key, value in figures.items() if value is not None}
        rows.setdefault(at, {}).update(told | ({ALARM: row[ALARM]} if isinstance(row.get(ALARM), str) else {}))
    if unreadable:
        problems.append(f"{path.name}: unreadable lines passed over: {unreadable}")
    if unfinite:
        problems.append(f"{path.name}: values not finite or beyond 1e100, left out of the curves: {unfinite}")
    return dict(sorted(rows.items()))


def _curves(log: Mapping[float, Mapping[str, Any]]) -> dict[str, Curve]:
    """Every figure of the log by key."""
    curves: dict[str, Curve] = {}
    for at, row in log.items():
        for key, value in row.items():
            if key != ALARM:
                curve = curves.setdefault(key, Curve())
                curve.rounds.append(at)
                curve.values.append(value)
    return curves


def _log_rows(path: Path) -> Iterator[dict[str, Any] | None]:
    """Rows of a JSON-lines file; None for a line that holds no object, as the torn last line of a killed run."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in filter(str.strip, file):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield row if isinstance(row, dict) else None


def _number(value: Any) -> float | None:
    """The value as a float below 1e100 in size, or None; True and False are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    # Near the end of the range an axis cannot be laid out any more.
    return number if abs(number) < 1e100 else None


def _snapshots(folder: Path, suffix: str) -> list[tuple[int, Path]]:
    """At most SNAPSHOTS of the files NNNNNNNN.suffix, the first and the last among them, evenly spread."""
    found = sorted((int(path.stem), path) for path in folder.glob(f"*{suffix}") if path.stem.isdecimal())
    if len(found) <= SNAPSHOTS:
        return found
    return [found[round(i * (len(found) - 1) / (SNAPSHOTS - 1))] for i in range(SNAPSHOTS)]


def _newest(run: Path) -> Iterator[tuple[str, tuple[int, list[str] | bytes]]]:
    for name in (INTERPOLATION, RECONSTRUCTIONS):
        for number, path in _snapshots(run / name, ".txt")[-1:]:
            yield name, (number, _lines(path))
        for number, path in _snapshots(run / name, ".png")[-1:]:
            yield name, (number, path.read_bytes())


def _lines(path: Path) -> list[str]:
    # Split at line feeds alone: splitlines would also cut at the separators that a learned string may contain.
    return path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
