"""mosec: a compiled front end, and one worker that batches."""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

import os
import sys

import mosec

from benchmarks.serving.peers.together import open_sampler, port, texts_of


class Strings(mosec.Worker):
    """A batch of requests to a batch of answers."""

    def __init__(self) -> None:
        self.sampler = open_sampler(threads=2)

    def forward(self, data: list[dict[str, int]]) -> list[dict[str, list[str]]]:
        wanted = [(item["n"], item["seed"]) for item in data]
        return [{"texts": texts} for texts in texts_of(self.sampler, wanted)]


if __name__ == "__main__":
    sys.argv += ["--address", "127.0.0.1", "--port", str(port()), "--timeout", "120000", "--log-level", "warning"]
    server = mosec.Server()
    # Whole milliseconds; 0 would mean the default of 10.
    wait_ms = int(os.environ.get("BENCHMARK_WAIT_MS", 1))
    server.append_worker(Strings, max_batch_size=256, max_wait_time=wait_ms, timeout=120, route="/generate")
    server.run()
