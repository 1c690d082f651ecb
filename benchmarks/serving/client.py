"""The load: a process that holds C connections, each asking again as soon as it is answered.

It is cheap, since it shares the processors with the server: one protocol object a connection, requests made by
formatting a seed into constant bytes, of an answer only the status and Content-Length read.  Some answers are kept
and given back, for whoever started the process to compare them with the sampler's.

It connects, warms up, prints a line, waits for a line, then measures and prints the result as JSON.  Nobody asks
again after the deadline, and the time counts until the last answer: a server that answers all at once, seldom, is
measured as exactly as one that answers one by one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic, process_time
from typing import cast

import uvloop

DRAIN_S = 60.0  # how long answers may come after the deadline
RETRY_S = 0.01  # after an error, so that refusals are not counted by the ten thousand
KEEP_EVERY, KEEP_MOST = 37, 40  # answers that are compared
FIRST_SEED = 10**9  # seeds of ten digits, so that every request has the same length


@dataclass
class Phase:
    """What one stretch of load has seen."""

    deadline: float
    started: float
    ended: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    kept: list[tuple[int, str]] = field(default_factory=list)


class Load:
    """Connections in a closed loop.  request: bytes with one %d for the seed."""

    def __init__(self, port: int, request: bytes, connections: int, first_seed: int) -> None:
        self.port, self.request, self.seed = port, request, first_seed
        self.connections = [Connection(self) for _ in range(connections)]
        self.phase = Phase(0.0, 0.0)
        self._busy = 0
        self._idle = asyncio.Event()

    async def connect(self) -> None:
        """Open every connection."""
        for connection in self.connections:
            await self.open(connection)

    async def open(self, connection: Connection) -> None:
        """Open one connection."""
        await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", self.port)

    async def run(self, seconds: float) -> Phase:
        """Ask for some seconds and wait for the last answers; what is not answered then is an error."""
        now = monotonic()
        self.phase = phase = Phase(now + seconds, now)
        self._busy = len(self.connections)
        self._idle.clear()
        for connection in self.connections:
            connection.ask()
        try:
            await asyncio.wait_for(self._idle.wait(), seconds + DRAIN_S)
        except TimeoutError:
            phase.errors["unanswered"] += self._busy
            phase.ended = monotonic()
            for connection in self.connections:
                connection.abandon()
        return phase

    def answered(self, connection: Connection, status: bytes, body: memoryview) -> None:
        """Count an answer, and ask again."""
        phase, now = self.phase, monotonic()
        phase.ended = now
        if status != b"200":
            self.failed(connection, status.decode("latin-1"))
            return
        count = len(phase.latencies_ms)
        phase.latencies_ms.append((now - connection.asked) * 1e3)
        if count % KEEP_EVERY == 0 and len(phase.kept) < KEEP_MOST:
            phase.kept.append((connection.seed, str(body, "utf-8")))
        self.next(connection)

    def failed(self, connection: Connection, kind: str) -> None:
        """Count an error, and ask again a little later."""
        self.phase.errors[kind] += 1
        self.phase.ended = monotonic()
        asyncio.get_running_loop().call_later(RETRY_S, self.next, connection)

    def next(self, connection: Connection) -> None:
        """The next request of a connection, if it is not too late for one."""
        if monotonic() < self.phase.deadline:
            connection.ask()
            return
        self._busy -= 1
        if not self._busy:
            self._idle.set()


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.transport: asyncio.Transport | None = None
        self.waiting = False
        self.seed, self.asked = 0, 0.0
        self.buffer, self.body, self.end = bytearray(), 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.buffer.clear()

    def ask(self) -> None:
        """Send the next request."""
        if self.transport is None:
            self._reopening = asyncio.create_task(self._reopen())
            return
        self.seed = self.load.seed
        self.load.seed += 1
        self.waiting, self.end, self.asked = True, 0, monotonic()
        self.transport.write(self.load.request % self.seed)

    async def _reopen(self) -> None:
        try:
            await self.load.open(self)
        except OSError:
            self.load.failed(self, "refused")
        else:
            self.ask()

    def abandon(self) -> None:
        """Close the connection without waiting for its answer."""
        self.waiting = False
        if self.transport is not None:
            self.transport.abort()
            self.transport = None

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer
        buffer += data
        if not self.end:
            head = buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            length = content_length(buffer[:head])
            if length is None:
                self.abandon()
                self.load.failed(self, "no Content-Length")
                return
            self.body, self.end = head + 4, head + 4 + length
        if len(buffer) < self.end:
            return
        status, body = bytes(buffer[9:12]), memoryview(bytes(buffer[self.body : self.end]))
        buffer.clear()
        self.waiting = False
        self.load.answered(self, status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.waiting:
            self.waiting = False
            self.load.failed(self, "closed")


def content_length(head: bytearray) -> int | None:
    """The length of the body as the head of an answer gives it; None if it gives none."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else None


def request_bytes(port: int, path: str, body: str, strings: int) -> bytes:
    """A request with %d where the seed comes.  body: holds STRINGS and SEED."""
    content = body.replace("STRINGS", str(strings)).replace("SEED", "%d")
    length = len(content.replace("%d", str(FIRST_SEED)))
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n{content}".encode()


async def main(options: argparse.Namespace) -> None:
    """Connect, warm up, wait to be told, measure, print."""
    request = request_bytes(options.port, options.path, options.body, options.strings)
    load = Load(options.port, request, options.connections, FIRST_SEED + options.first_seed)
    await load.connect()
    await load.run(options.warmup)
    gc.collect()
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    spent = process_time()
    phase = await load.run(options.seconds)
    result = {
        "started": phase.started,
        "ended": phase.ended,
        "latencies_ms": [round(latency, 3) for latency in phase.latencies_ms],
        "errors": phase.errors,
        "kept": phase.kept,
        "cpu_s": process_time() - spent,
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--body", required=True, help="with STRINGS and SEED where the numbers come")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--strings", type=int, required=True, help="strings a request")
    parser.add_argument("--warmup", type=float, required=True, help="seconds")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--first-seed", type=int, default=0)
    uvloop.run(main(parser.parse_args()))
