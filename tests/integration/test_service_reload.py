"""A model that is swapped again and again while clients ask: nothing fails, and no answer mixes two versions."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from model_versions import contents_of, negated, put
from service_process import DEADLINE_S, process, until

from model.artifact import Artifact
from model.decoding import Decoding
from model.latents import slerp
from model.sampler import Part, Sampler

KEY = "an operator's key of some length"
ROUNDS = 8  # of three swaps each
SEEDS = 4
TEXTS = ["anna", "bert", "xqzzk"]


class Asked(NamedTuple):
    """What a client asked for: a kind of request, a seed, and how many strings."""

    kind: str
    seed: int
    n: int


KINDS = {"plain": (1, 5, 300), "sample": (3, 257), "stream": (3000,), "score": (len(TEXTS),), "interpolate": (20,)}
WISHES = [Asked(kind, seed, n) for kind, sizes in KINDS.items() for n in sizes for seed in range(SEEDS)]


def ask(client: httpx.Client, wish: Asked) -> tuple[str, Any]:
    """The digest that an answer names, and its texts or scores."""
    if wish.kind == "stream":
        headers = {"accept": "application/x-ndjson"}
        answer = client.post("/v1/generate", json={"model": "one", "n": wish.n, "seed": wish.seed}, headers=headers)
        *rows, last = map(json.loads, answer.text.splitlines())
        digest = last["summary"]["model"]["digest"]
        assert digest == answer.headers["charwgan-model-digest"]
        return digest, [row["text"] for row in rows]
    path, body = {
        "plain": ("generate", {"n": wish.n, "seed": wish.seed}),
        "sample": ("generate", {"n": wish.n, "seed": wish.seed, "mode": "sample"}),
        "score": ("score", {"texts": TEXTS}),
        "interpolate": ("interpolate", {"from": {"seed": wish.seed}, "to": {"seed": 99}, "steps": wish.n}),
    }[wish.kind]
    answer = client.post(f"/v1/{path}", json={"model": "one", **body})
    assert answer.status_code == 200, answer.text
    content = answer.json()
    return content["model"]["digest"], content["scores" if wish.kind == "score" else "texts"]


class Truth:
    """What the samplers of both versions make."""

    def __init__(self, *folders: Path) -> None:
        self.samplers = {artifact.digest: Sampler(artifact, threads=1) for artifact in map(Artifact.load, folders)}
        self.of = cache(self._of)

    def _of(self, digest: str, wish: Asked) -> Any:
        sampler = self.samplers[digest]
        if wish.kind == "score":
            return sampler.scores(TEXTS).tolist()
        latents = sampler.latents(wish.seed, 0, wish.n)
        if wish.kind == "interpolate":
            latents = slerp(latents[0], sampler.latents(99, 0, 1)[0], wish.n)
        drawn = [Part(0, wish.n, wish.seed, 0, Decoding(1.0))] if wish.kind == "sample" else []
        return sampler.texts(latents, drawn)


class Clients:
    """Clients that ask for one thing after the other without a pause, and what they were answered."""

    def __init__(self, url: str) -> None:
        self.url, self.stop = url, threading.Event()
        self.answers: list[tuple[Asked, str, Any]] = []

    def answered(self, more: int) -> None:
        """Wait until so many more answers have come."""
        wanted = len(self.answers) + more
        until(lambda: len(self.answers) >= wanted)

    def work(self, number: int) -> None:
        at = number * 7
        with httpx.Client(base_url=self.url, timeout=DEADLINE_S) as client:
            while not self.stop.is_set():
                wish, at = WISHES[at % len(WISHES)], at + 1
                self.answers.append((wish, *ask(client, wish)))


def swap(operator: httpx.Client, clients: Clients, folder: Path, contents: dict[str, bytes]) -> None:
    """Put another version into the folder, let it answer, go back to the one before, and forth again."""
    digest = put(folder, contents)
    for verb in ("load", "activate", "rollback", "rollback"):
        answer = operator.post(f"/admin/models/one/{verb}")
        assert answer.status_code == 200, answer.text
        clients.answered(12)
    assert answer.json()["active"] == digest


@pytest.mark.timeout(120)
def test_swaps_under_load_fail_no_request_and_mix_no_answer(tiny_model: Path, tmp_path: Path) -> None:
    contents = [contents_of(tiny_model), negated(tiny_model)]
    digests = [put(tmp_path / name, files) for name, files in zip(("first", "second"), contents, strict=True)]
    put(tmp_path / "models" / "one", contents[0])
    models = ("--models", tmp_path / "models", "--set=admin_port=0")
    with process(*models, CHARWGAN_ADMIN_KEY=KEY) as service, ThreadPoolExecutor(6) as pool:
        clients = Clients(service.url)
        working = [pool.submit(clients.work, number) for number in range(6)]
        try:
            headers = {"authorization": f"Bearer {KEY}"}
            with httpx.Client(base_url=service.admin_url, headers=headers, timeout=DEADLINE_S) as operator:
                for number in range(ROUNDS):
                    swap(operator, clients, tmp_path / "models" / "one", contents[(number + 1) % 2])
        finally:
            clients.stop.set()
        for client in working:
            client.result(DEADLINE_S)
        assert service.end() == 0
        assert not [line for line in service.lines if " error " in line]
    truth = Truth(tmp_path / "first", tmp_path / "second")
    assert truth.of(digests[0], WISHES[0]) != truth.of(digests[1], WISHES[0])
    for wish, digest, given in clients.answers:
        assert given == truth.of(digest, wish), (wish, digest)
    for digest in digests:
        assert {wish.kind for wish, named, _ in clients.answers if named == digest} == set(KINDS)
