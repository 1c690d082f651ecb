"""Load on a running service: small requests, batches, and thresholds that decide the exit code.

locust -f tests/load/locustfile.py --headless --only-summary --host http://127.0.0.1:8000 --load-profile smoke
"""

from __future__ import annotations

import random
import sys
import tomllib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from locust import HttpUser, LoadTestShape, between, constant_pacing, events, task
from locust.env import Environment

PROFILES = tomllib.loads((Path(__file__).parent / "profiles.toml").read_text(encoding="utf-8"))


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--load-profile", choices=PROFILES, default="smoke", help="a table of profiles.toml")


def profile_of(environment: Environment) -> dict[str, Any]:
    assert environment.parsed_options is not None
    profile: dict[str, Any] = PROFILES[environment.parsed_options.load_profile]
    return profile


class Generating(HttpUser):
    """Asks for strings, and counts an answer with a wrong number of them as an error."""

    abstract = True

    def generate(self, n: int) -> None:
        body = {"n": n, "seed": random.randrange(2**32)}
        with self.client.post("/v1/generate", json=body, name=type(self).__name__, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            elif len(answer.json()["texts"]) != n or answer.json()["seed"] != body["seed"]:
                answer.failure("not the strings that were asked for")


class SmallRequests(Generating):
    """A few strings at a time, as a form that fills itself in would ask."""

    weight = 3
    wait_time = between(0.01, 0.05)

    @task
    def one_or_a_few(self) -> None:
        self.generate(random.randint(1, 5))


class Batches(Generating):
    """A thousand strings every second, as the making of test data would ask."""

    weight = 1
    wait_time = constant_pacing(1)

    @task
    def batch(self) -> None:
        self.generate(1000)


class Profile(LoadTestShape):
    """The users of the profile for its time, and then the end."""

    def tick(self) -> tuple[int, float] | None:
        assert self.runner is not None
        profile = profile_of(self.runner.environment)
        return (profile["users"], profile["spawn_per_s"]) if self.get_run_time() < profile["seconds"] else None


@events.quitting.add_listener
def judge(environment: Environment, **_: object) -> None:
    total, limits = environment.stats.total, profile_of(environment)["thresholds"]
    p95_ms = total.get_response_time_percentile(0.95) or 0
    missed = []
    if total.num_requests < limits["least_requests"]:
        missed.append(f"{total.num_requests} requests, at least {limits['least_requests']}")
    if total.fail_ratio > limits["error_share"]:
        missed.append(f"error share {total.fail_ratio:.4f}, at most {limits['error_share']}")
    if p95_ms > limits["p95_ms"]:
        missed.append(f"p95 {p95_ms:g} ms, at most {limits['p95_ms']}")
    for message in missed:
        sys.stderr.write(f"threshold missed: {message}\n")
    environment.process_exit_code = 1 if missed else 0
