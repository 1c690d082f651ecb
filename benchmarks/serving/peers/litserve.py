"""LitServe with batching: one inference process on one thread and one front end, between them its fast queue.

On two threads that beats two threads for the network, two front ends, the other queue, and longer and shorter waits.
"""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

import os

import litserve

from benchmarks.serving.peers.together import open_sampler, port, texts_of


class Strings(litserve.LitAPI):
    """A batch of requests to a batch of answers."""

    def setup(self, device: str) -> None:
        self.sampler = open_sampler(threads=1)

    def decode_request(self, request: dict[str, int]) -> tuple[int, int]:
        return request["n"], request["seed"]

    def batch(self, inputs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return inputs

    def predict(self, x: list[tuple[int, int]]) -> list[list[str]]:
        return texts_of(self.sampler, x)

    def unbatch(self, output: list[list[str]]) -> list[list[str]]:
        return output

    def encode_response(self, output: list[str]) -> dict[str, list[str]]:
        return {"texts": output}


if __name__ == "__main__":
    wait_s = float(os.environ.get("BENCHMARK_WAIT_S", 0.001))
    api = Strings(max_batch_size=256, batch_timeout=wait_s, api_path="/generate")
    fast = os.environ.get("BENCHMARK_FAST_QUEUE", "1") == "1"
    server = litserve.LitServer(api, accelerator="cpu", devices=1, timeout=120, fast_queue=fast)
    front_ends = int(os.environ.get("BENCHMARK_FRONT_ENDS", 1))
    server.run(
        host="127.0.0.1", port=port(), num_api_servers=front_ends, generate_client_file=False, log_level="warning"
    )
