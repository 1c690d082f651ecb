"""One question, one answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from client_callers import Blocking
from client_server import MODEL, Answer, Open, expected, generated, text_of

import charwgan
from model.errors import ConfigurationError
from service.client import Client, Interpolated, Scored

ROOT = Path(charwgan.__file__).parent


def test_importing_the_client_imports_nothing_heavy() -> None:
    heavy = "torch, numpy, onnxruntime, pydantic, fastapi, starlette, uvicorn"
    code = f"import sys, service.client; print([m for m in '{heavy}'.split(', ') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_strings_come_with_seed_model_and_what_else_was_asked_for(caller: Blocking, service: Open) -> None:
    there = service(generated)
    names = caller.call(there.url, "generate", 3, seed=7, first=2, scores=True, latents=True, model=None)
    assert list(names) == expected(7, 2, 3)
    assert (len(names), names[-1], names[:2]) == (3, text_of(7, 4), tuple(expected(7, 2, 2)))
    assert (names.seed, names.first, names.model_name, names.digest) == (7, 2, "names", "a" * 64)
    assert (names.attempted, names.accepted, names.scores) == (3, 3, [0.5] * 3)
    assert names.latents == [[1.0, 2.0]] * 3
    assert there.bodies == [{"n": 3, "seed": 7, "first": 2, "scores": True, "latents": True}]
    assert there.asked[0].headers["Content-Type"] == there.asked[0].headers["Accept"] == "application/json"


def test_what_a_conditional_model_was_asked_for_is_told(caller: Blocking, service: Open) -> None:
    there = service(generated)
    assert caller.call(there.url, "generate", 2, label="it").labels == ["it", "it"]
    assert caller.call(there.url, "generate", 2).labels is None


def test_text_of_any_script_goes_as_utf_8(caller: Blocking, service: Open) -> None:
    there = service(generated)
    caller.call(there.url, "generate", 1, prefix="Żółć 🐈")
    assert there.bodies[0]["prefix"] == "Żółć 🐈"


@pytest.mark.parametrize("option", [{"temperature": float("nan")}, {"prefix": "\ud800"}])
def test_what_json_cannot_say_is_refused_before_it_is_sent(
    caller: Blocking, service: Open, option: dict[str, Any]
) -> None:
    there = service(generated)
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        caller.call(there.url, "generate", 1, **option)
    assert there.asked == []


def test_a_path_in_the_address_stays_in_front(caller: Blocking, service: Open) -> None:
    there = service(generated)
    caller.call(f"{there.url}/names/", "generate", 1)
    assert there.asked[0].path == "/names/v1/generate"


def test_the_key_is_sent_and_no_key_sends_none(caller: Blocking, service: Open) -> None:
    there = service(generated)
    caller.call(there.url, "generate", 1, client={"key": "s3cret"})
    caller.call(there.url, "generate", 1, client={"key": ""})
    assert [asked.headers.get("Authorization") for asked in there.asked] == ["Bearer s3cret", None]


@pytest.mark.parametrize("key", ["s3cret\n", "s3 cret", "s3crét"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigurationError, match="printable ASCII") as refused:
        Client("http://127.0.0.1:8000", key)
    assert "s3" not in str(refused.value)


def test_a_key_and_a_user_cannot_both_be_sent_and_neither_is_repeated() -> None:
    with pytest.raises(ConfigurationError, match="no user and password") as refused:
        Client("http://me:pa55@127.0.0.1:8000", "s3cret")
    assert "s3cret" not in str(refused.value)
    assert "pa55" not in str(refused.value)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8000/?model=names", "http://127.0.0.1:8000/#docs"])
def test_an_address_with_more_than_a_path_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="must end with its path"):
        Client(address)


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "localhost:8000", "ftp://host", "http://", ""])
def test_an_address_without_scheme_or_host_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"http://HOST:PORT.*got"):
        Client(address)


def test_scores_come_with_their_percentiles(caller: Blocking, service: Open) -> None:
    percentiles = {"real": [50.0, 1.0], "generated": [60.0, 2.0]}
    there = service(Answer({"scores": [1.5, -2.0], "percentiles": percentiles, "model": MODEL}))
    scored = caller.call(there.url, "score", (text for text in ("anna", "bö")))
    assert scored == Scored((1.5, -2.0), percentiles, "names", "a" * 64)
    assert (there.asked[0].path, there.bodies[0]) == ("/v1/score", {"texts": ["anna", "bö"]})
    with pytest.raises(TypeError, match="put it in a list"):
        caller.call(there.url, "score", "anna")


def test_the_ends_of_an_interpolation_are_seeds_strings_of_seeds_or_latents(caller: Blocking, service: Open) -> None:
    there = service(Answer({"texts": ["anna", "inna"], "model": MODEL, "arc": 0.5}))
    between = caller.call(there.url, "interpolate", 3, {"seed": 4, "first": 9}, 2)
    assert between == Interpolated(("anna", "inna"), "names", "a" * 64, {"arc": 0.5})
    caller.call(there.url, "interpolate", [0.5, 1], (2.0, 3.0), 2, model="names")
    assert there.bodies == [
        {"from": {"seed": 3}, "to": {"seed": 4, "first": 9}, "steps": 2},
        {"from": {"latent": [0.5, 1]}, "to": {"latent": [2.0, 3.0]}, "steps": 2, "model": "names"},
    ]


def test_models_are_looked_up_by_name_whatever_it_holds(caller: Blocking, service: Open) -> None:
    there = service(Answer({"models": [MODEL]}), Answer(MODEL), Answer({"version": "0.1.0"}))
    assert caller.call(there.url, "models") == [MODEL]
    assert caller.call(there.url, "model", "a b/ç") == MODEL
    assert caller.call(there.url, "version") == {"version": "0.1.0"}
    assert [asked.path for asked in there.asked] == ["/v1/models", "/v1/models/a%20b%2F%C3%A7", "/version"]
