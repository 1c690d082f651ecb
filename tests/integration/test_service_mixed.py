"""Thousands of requests of all kinds at once: every string is the sampler's own, whoever shares its batch."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from service_process import DEADLINE_S, process

from model.artifact import Artifact
from model.constraints import Constraints, compile_constraints
from model.decoding import Decoding
from model.sampler import Part, Sampler

REQUESTS, CLIENTS, SEEDS = 10_000, 8, 12
FIRSTS = (0, 0, 0, 1, 255, 2**31, 2**53 - 1)
SIZES = (*[1] * 10, 2, 3, 5, 17, 64, 300)
MODES: Sequence[dict[str, Any]] = ({}, {}, {"mode": "sample"}, {"mode": "sample", "temperature": 0.5})
CONSTRAINTS: Sequence[dict[str, Any]] = (
    *[{}] * 5,
    {"max_length": 5},
    {"charset": "abcdefghijklm"},
    {"prefix": "q", "min_length": 3},
    {"pattern": "[a-m].*", "unique": True},
)
MOST_TRIED = 600
Body, Counts = dict[str, Any], dict[str, Any]


def drawn(seed: int) -> list[Body]:
    """The requests of one client."""
    draw = random.Random(seed)

    def body() -> Body:
        rules = draw.choice(CONSTRAINTS)
        n = min(draw.choice(SIZES), 17) if rules else draw.choice(SIZES)
        own = {"n": n, "seed": draw.randrange(SEEDS), "first": draw.choice(FIRSTS)}
        return own | draw.choice(MODES) | rules | ({"max_attempts": MOST_TRIED} if rules else {})

    return [body() for _ in range(REQUESTS // CLIENTS)]


def ask(address: str, bodies: Sequence[Body]) -> list[tuple[int, bytes]]:
    """Status and body of each answer, over one connection."""
    connection = http.client.HTTPConnection(address, timeout=DEADLINE_S)
    answers = []
    for body in bodies:
        connection.request("POST", "/v1/generate", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answers.append((answer.status, answer.read()))
    connection.close()
    return answers


class Alone:
    """The answers that the sampler gives by itself, one string of a seed after the other."""

    def __init__(self, model: Path) -> None:
        self.artifact = Artifact.load(model)
        self.sampler = Sampler(self.artifact, threads=1)
        self.rules: dict[tuple[Constraints, int], Any] = {}
        self.texts: dict[tuple[Any, ...], list[str]] = {}

    def compiled(self, body: Body) -> Any:
        given = {name: body[name] for name in Constraints.__dataclass_fields__ if name in body}
        constraints = Constraints(**given)
        key = constraints, body["n"] if constraints.unique else 1
        if key not in self.rules:
            self.rules[key] = compile_constraints(constraints, self.artifact.alphabet, None, n=key[1])
        return self.rules[key]

    def candidates(self, body: Body, rules: Any, n: int) -> list[str]:
        """The first n candidates of a request, in slices of their own."""
        temperature = body.get("temperature", 1.0) if "mode" in body else None
        key = body["seed"], body["first"], temperature, id(rules.mask)
        known = self.texts.setdefault(key, [])
        while len(known) < n:
            first, size = body["first"] + len(known), 25
            parts = [Part(0, size, body["seed"], first, Decoding(temperature, rules.mask))]
            known += self.sampler.texts(self.sampler.latents(body["seed"], first, size), parts)
        return known[:n]

    def answer(self, body: Body) -> tuple[list[str], Counts]:
        """Texts, how many were tried, and what refused the others."""
        rules, accepted, tried, seen = self.compiled(body), list[str](), 0, set[str]()
        if not rules.rejects:
            return self.candidates(body, rules, body["n"]), {"attempted": body["n"], "accepted": body["n"]}
        refused: dict[str, int] = {}
        while len(accepted) < body["n"] and tried < MOST_TRIED:
            text = self.candidates(body, rules, tried + 1)[-1]
            tried += 1
            reason = rules.judge([text], seen)[0]
            if reason is None:
                accepted.append(text)
            else:
                refused[reason] = refused.get(reason, 0) + 1
        return accepted, {"attempted": tried, "accepted": len(accepted), "refused": refused}


@pytest.mark.timeout(200)
def test_no_answer_depends_on_who_else_asks(tiny_model: Path) -> None:
    wanted = [drawn(client) for client in range(CLIENTS)]
    assert sum(map(len, wanted)) >= REQUESTS
    with process("--model", tiny_model, "--set=slice=64") as service, ThreadPoolExecutor(CLIENTS) as pool:
        address = service.url.removeprefix("http://")
        given = list(pool.map(ask, [address] * CLIENTS, wanted))
        assert service.end() == 0
    alone, identity = Alone(tiny_model), {"name": "tiny", "digest": Artifact.load(tiny_model).digest}
    refused = 0
    for body, (status, content) in zip(chain(*wanted), chain(*given), strict=True):
        texts, counts = alone.answer(body)
        if not texts:
            refused += 1
            assert (status, json.loads(content)["type"]) == (422, "/docs#too-many-attempts"), body
            continue
        made = {"seed": body["seed"], "first": body["first"], "model": identity}
        expected = {"texts": texts, **made, **counts}
        assert (status, content) == (200, json.dumps(expected, separators=(",", ":"), ensure_ascii=False).encode()), (
            body
        )
    assert refused < REQUESTS / 100
