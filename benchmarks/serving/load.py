"""One cell of the table: C connections, k strings a request, for some seconds, on one server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving.client import DRAIN_S
from benchmarks.serving.servers import Server, texts_of
from benchmarks.serving.sides import ROOT, SideError
from model.artifact import Artifact
from model.sampler import Sampler

SEEDS_APART = 10**8  # between client processes


@dataclass(frozen=True)
class Cell:
    """What was measured.

    wrong: of the answers that were compared, those that were not the sampler's strings.  server_ms: processor time
    of the server for a request.  client_cores: processors that the client used.
    """

    side: str
    round: int
    clients: int
    strings: int
    requests_per_s: float
    strings_per_s: float
    p50_ms: float
    p99_ms: float
    requests: int
    compared: int
    wrong: int
    server_ms: float
    client_cores: float
    errors: dict[str, int] = field(default_factory=dict)


class Truth:
    """What the strings of a seed are."""

    def __init__(self, model: Path) -> None:
        self.sampler = Sampler(Artifact.load(model), 1)

    def wrong(self, seed: int, n: int, answer: str) -> bool:
        """Whether an answer is not strings 0 .. n - 1 of the seed."""
        return texts_of(answer) != self.sampler.texts(self.sampler.latents(seed, 0, n))


def measure(
    server: Server, truth: Truth, number: int, clients: int, strings: int, warmup: float, seconds: float, processes: int
) -> Cell:
    """Warm up and measure.  number: of the round.  Raises SideError if a client breaks or nothing is answered."""
    shares = [share for i in range(processes) if (share := (clients + i) // processes)]
    with loads(server, shares, strings, warmup, seconds) as started:
        before = server.cpu_s()
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        found = [_result(process, seconds) for process in started]
        spent = server.cpu_s() - before
    latencies = sorted(latency for result in found for latency in result["latencies_ms"])
    errors = sum((Counter(result["errors"]) for result in found), Counter[str]())
    if not latencies:
        raise SideError(f"no answer with {clients} clients and {strings} strings a request: {dict(errors)}")
    elapsed = max(result["ended"] for result in found) - min(result["started"] for result in found)
    kept = [(seed, answer) for result in found for seed, answer in result["kept"]]
    return Cell(
        side=server.side.name,
        round=number,
        clients=clients,
        strings=strings,
        requests_per_s=len(latencies) / elapsed,
        strings_per_s=len(latencies) * strings / elapsed,
        p50_ms=percentile(latencies, 0.50),
        p99_ms=percentile(latencies, 0.99),
        requests=len(latencies),
        compared=len(kept),
        wrong=sum(truth.wrong(seed, strings, answer) for seed, answer in kept),
        server_ms=spent / len(latencies) * 1e3,
        client_cores=sum(result["cpu_s"] for result in found) / elapsed,
        errors=dict(errors),
    )


@contextmanager
def loads(server: Server, shares: Sequence[int], strings: int, warmup: float, seconds: float) -> Iterator[list[Any]]:
    """Client processes, each with its share of the connections, warm and waiting to be told to measure."""
    side, started = server.side, []
    try:
        for i, share in enumerate(shares):
            values = {"port": server.port, "path": side.path, "body": side.body, "connections": share}
            values |= {"strings": strings, "warmup": warmup, "seconds": seconds, "first-seed": i * SEEDS_APART}
            arguments = [word for key, value in values.items() for word in (f"--{key}", str(value))]
            command = [sys.executable, "-m", "benchmarks.serving.client", *arguments]
            pipe = subprocess.PIPE
            started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT))
        for process in started:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise SideError("the client broke: its error stands above")
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def _result(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    try:
        output, _ = process.communicate(timeout=seconds + DRAIN_S + 30)
    except subprocess.TimeoutExpired:
        raise SideError("the client did not end") from None
    if process.returncode:
        raise SideError("the client broke: its error stands above")
    result: dict[str, Any] = json.loads(output)
    return result


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the ordered values does not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
