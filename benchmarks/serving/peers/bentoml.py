"""BentoML with adaptive batching, one worker; without its access log, metrics and trace samples.

An endpoint that batches takes a list of requests and nothing else.  It is a named parameter, and the answer has its
media type said, since BentoML else makes the JSON schema of the list anew for every request.
"""

# mypy: disable-error-code="import-not-found, misc, untyped-decorator"
from __future__ import annotations

import os
import sys
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from pydantic import BaseModel

from benchmarks.serving.peers.together import open_sampler, port, texts_of


class Request(BaseModel):
    """How many strings, and from which seed."""

    n: int
    seed: int


class Answer(BaseModel):
    """The strings."""

    texts: list[str]


@bentoml.service(
    workers=1,
    traffic={"timeout": 120, "max_concurrency": 1024},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Strings:
    """A batch of requests to a batch of answers."""

    def __init__(self) -> None:
        self.sampler = open_sampler(threads=2)

    # Answers may take this long: a shorter time makes BentoML refuse what waits behind 256 requests of 64 strings.
    @bentoml.api(batchable=True, max_batch_size=256, max_latency_ms=60_000)
    def generate(self, requests: list[Request]) -> Annotated[list[Answer], ContentType("application/json")]:
        """The strings of each request."""
        return [Answer(texts=texts) for texts in texts_of(self.sampler, [(item.n, item.seed) for item in requests])]


if __name__ == "__main__":
    options = ["benchmarks.serving.peers.bentoml:Strings", "--host", "127.0.0.1", "--port", str(port())]
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", *options])
