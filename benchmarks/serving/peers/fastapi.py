"""A plain FastAPI endpoint that calls the model, as one writes it: FastAPI runs it in a thread of its pool.

With the argument async it is called on the event loop instead, and the network has two threads.  The pool is faster
with many clients, since two requests are computed at once, and the loop with one client, who is spared the way to
another thread.
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field

from benchmarks.serving.peers.together import open_sampler, port

on_the_loop = sys.argv[1:] == ["async"]
sampler = open_sampler(threads=2 if on_the_loop else 1)
app = FastAPI()


class Request(BaseModel):
    """How many strings, and from which seed."""

    n: int = Field(1, ge=1, le=10_000)
    seed: int = Field(0, ge=0, lt=2**53)


class Answer(BaseModel):
    """The strings."""

    texts: list[str]


def generate(request: Request) -> Answer:
    """Make n strings."""
    return Answer(texts=sampler.texts(sampler.latents(request.seed, 0, request.n)))


async def generate_on_the_loop(request: Request) -> Answer:
    """Make n strings."""
    return generate(request)


app.post("/generate")(generate_on_the_loop if on_the_loop else generate)

if __name__ == "__main__":
    uvicorn.run(app, port=port(), log_level="warning", access_log=False, timeout_keep_alive=75)
