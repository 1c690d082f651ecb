"""Reads the options, runs every side in turn, prints the tables.  See the package's docstring."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import benchmarks.serving
from benchmarks.serving import load, machine, report, streaming, subject
from benchmarks.serving.servers import running
from benchmarks.serving.sides import ROOT, SIDES, Side, SideError, interpreter

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charwgan" / "benchmarks"
ENGINE_HELP = "how peers call the model: ONNX Runtime as it comes, or our sampler (default: onnxruntime)"
QUICK = {"seconds": 1.0, "warmup": 0.5, "rounds": 1, "stream_n": 20_000, "ceiling_seconds": 0.2}


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; --quick changes what is not given."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=benchmarks.serving.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--sides", nargs="+", choices=list(SIDES), default=list(SIDES), help="who is measured (default: all)")
    add("--clients", type=int, nargs="+", default=[1, 64, 256], help="connections (default: 1 64 256)")
    add("--strings", type=int, nargs="+", default=[1, 64], help="strings a request (default: 1 64)")
    add("--seconds", type=float, default=5.0, help="seconds that are measured, for each of these (default: 5)")
    add("--warmup", type=float, default=2.0, help="seconds of load before that (default: 2)")
    add("--rounds", type=int, default=3, help="how often every side has its turn (default: 3)")
    add("--client-processes", type=int, default=1, help="processes that share the connections (default: 1)")
    add("--ceiling-seconds", type=float, default=1.0, help="seconds of each batch size in process (default: 1)")
    add("--stream-n", type=int, default=1_000_000, help="strings of the stream; 0: none (default: 1000000)")
    add("--model", type=Path, help="a model folder (default: one with random weights, made for the run)")
    add("--peers", type=Path, default=CACHE, help=f"where the peers' environments are kept (default: {CACHE})")
    add("--peer-engine", choices=["onnxruntime", "sampler"], default="onnxruntime", help=ENGINE_HELP)
    add("--json", type=Path, help="write everything that was measured to this file")
    add("--quick", action="store_true", help="short enough to see whether it runs; the numbers mean nothing")
    given = parser.parse_args(arguments)
    if given.quick:
        changed = {key: value for key, value in QUICK.items() if getattr(given, key) == parser.get_default(key)}
        vars(given).update(changed)
    return given


def main() -> None:
    """Measure and print."""
    options = options_of()
    # As an exception, so that servers are ended and folders removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    os.environ["BENCHMARK_ENGINE"] = options.peer_engine  # which the peers inherit
    with tempfile.TemporaryDirectory(prefix="charwgan-serving-") as name:
        document = measure(options, Path(name))
    if options.json:
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(report.text(document), end="")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that ``report`` shows.  folder: for logs and the model, gone afterwards."""
    model, about = _model(options.model, folder)
    document: dict[str, Any] = {
        "machine": machine.describe(),
        "options": {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()},
        "model": about,
        "load_average": [],
        "ceilings": [],
        "starts": [],
        "cells": [],
        "stream": None,
        "failures": {},
    }
    pythons = _environments(options, document)
    truth = load.Truth(model)
    for number in range(options.rounds):
        document["load_average"].append(os.getloadavg()[0])
        document["ceilings"].append(_ceiling(model, options.ceiling_seconds))
        for name, python in pythons.items():
            if name not in document["failures"]:
                _turn(SIDES[name], python, model, folder, truth, number, options, document)
    document["ceilings"].append(_ceiling(model, options.ceiling_seconds))
    if options.stream_n and "ours" in pythons:
        _streamed(pythons["ours"], model, folder, truth, options.stream_n, document)
        document["ceilings"].append(_ceiling(model, options.ceiling_seconds))
    return document


def _model(given: Path | None, folder: Path) -> tuple[Path, str]:
    if given:
        return given.resolve(), f"The model {given.resolve().name}"
    path = folder / "random"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.subject", str(path)], check=True, cwd=ROOT, stdout=sys.stderr
    )
    shape = f"dim {subject.WIDTH}, depth {subject.DEPTH}, kernel {subject.KERNEL}, T {subject.LENGTH}"
    return path, f"A model with random weights, {shape}, V {len(subject.CHARACTERS) + 2}"


def _environments(options: argparse.Namespace, document: dict[str, Any]) -> dict[str, Path]:
    pythons = {}
    for name in options.sides:
        try:
            pythons[name] = interpreter(SIDES[name], options.peers.resolve())
        except SideError as error:
            _failed(document, name, str(error))
    return pythons


def _ceiling(model: Path, seconds: float) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-m", "benchmarks.serving.ceiling", str(model), str(seconds)]
    found: dict[str, dict[str, float]] = json.loads(
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout
    )
    return found


def _turn(
    side: Side,
    python: Path,
    model: Path,
    folder: Path,
    truth: load.Truth,
    number: int,
    options: argparse.Namespace,
    document: dict[str, Any],
) -> None:
    """One round of one side: start it, measure every cell, end it."""
    try:
        with running(side, python, model, folder) as server:
            start = {"side": side.name, "round": number, "ready_s": server.ready_s, "resident_mb": server.resident_mb}
            document["starts"].append(start)
            for strings in options.strings:
                for clients in options.clients:
                    times = (options.warmup, options.seconds)
                    cell = load.measure(server, truth, number, clients, strings, *times, options.client_processes)
                    document["cells"].append(asdict(cell))
                    speed = f"{cell.requests_per_s:.0f}/s, p99 {cell.p99_ms:.0f} ms"
                    _say(f"round {number + 1}, {side.title}, {clients} clients, {strings} strings: {speed}")
    except SideError as error:
        _failed(document, side.name, str(error))


def _streamed(python: Path, model: Path, folder: Path, truth: load.Truth, n: int, document: dict[str, Any]) -> None:
    try:
        with running(SIDES["ours"], python, model, folder) as server:
            document["stream"] = streaming.measure(server, truth, n)
    except SideError as error:
        _failed(document, "ours", f"stream: {error}")


def _failed(document: dict[str, Any], name: str, reason: str) -> None:
    document["failures"][name] = reason
    _say(f"{SIDES[name].title}: {reason}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
