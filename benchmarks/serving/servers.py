"""The processes of a side: started, watched and ended, with all the children they have."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from benchmarks.serving.sides import ROOT, Side, SideError

START_S = 90.0  # in which a server must answer its first request
STOP_S = 10.0  # in which it may end by itself
ADDRESS = re.compile(rb"^serving .* on http://127\.0\.0\.1:(\d+)", re.MULTILINE)
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """A running side.  ready_s: from starting the process to the first answer.  resident_mb: right after that."""

    side: Side
    process: subprocess.Popen[bytes]
    port: int
    ready_s: float
    resident_mb: float

    def cpu_s(self) -> float:
        """Processor seconds that its processes have used."""
        return sum(_cpu_s(pid) for pid in tree(self.process.pid))


@contextlib.contextmanager
def running(side: Side, python: Path, model: Path, folder: Path) -> Iterator[Server]:
    """A side's server, from its first answer on.  folder: for its log.  Raises SideError with the log's last lines."""
    log = folder / f"{side.name}.log"
    port = 0 if side.own_port else free_port()
    environment = {
        **os.environ,
        "PATH": f"{python.parent}:{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "BENCHMARK_MODEL": str(model),
        "BENCHMARK_PORT": str(port),
        "TMPDIR": str(folder),
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    started = monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python), *side.command(model, port)],
            stdout=output,
            stderr=output,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        port = _wait(side, process, port, log, started + START_S)
        ready_s = monotonic() - started
        yield Server(side, process, port, ready_s, sum(resident_mb(pid) for pid in tree(process.pid)))
    finally:
        _stop(process)


def _wait(side: Side, process: subprocess.Popen[bytes], port: int, log: Path, deadline: float) -> int:
    """Wait for the first answer; returns the port."""
    problem = "it said no address"
    while monotonic() < deadline:
        if process.poll() is not None:
            raise SideError(f"it ended with {process.returncode}: {_tail(log)}")
        if side.own_port and (said := ADDRESS.search(log.read_bytes())):
            port = int(said.group(1))
        if port:
            try:
                ask(port, side, n=1, seed=0)
            except (OSError, http.client.HTTPException, SideError, ValueError) as error:
                problem = str(error)
            else:
                return port
        sleep(0.01)
    raise SideError(f"no answer within {START_S:g} s: {problem}; {_tail(log)}")


def ask(port: int, side: Side, n: int, seed: int) -> list[str]:
    """The strings of one request.  Raises SideError if the answer is not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    with contextlib.closing(connection):
        body = side.body.replace("STRINGS", str(n)).replace("SEED", str(seed))
        connection.request("POST", side.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    if response.status != 200:
        raise SideError(f"status {response.status}: {content[:300].decode(errors='replace')}")
    return texts_of(content)


def texts_of(content: str | bytes) -> list[str]:
    """The strings of an answer; BentoML's is a list of answers."""
    answer: Any = json.loads(content)
    if isinstance(answer, list):
        (answer,) = answer
    texts: list[str] = answer["texts"]
    return texts


def _stop(process: subprocess.Popen[bytes]) -> None:
    family = tree(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    for pid in family:
        # In its session still: the number was not given to another process meanwhile.
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    family = [pid]
    for parent in family:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                family += map(int, children.read_text().split())
    return family


def resident_mb(pid: int) -> float:
    """VmRSS of a process, in units of 1,000,000 bytes; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _cpu_s(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


def _tail(log: Path) -> str:
    return " | ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-4:])
