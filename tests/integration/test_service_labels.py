"""Labels over HTTP: strings, scores and ways of a conditional model, and what is said to those who ask amiss."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from conditional_model import LABELS, LATENT, LETTERS
from hypothesis import given, settings
from hypothesis import strategies as st
from running import Running, assert_problem, running
from service_process import DEADLINE_S, process

from model.artifact import Artifact
from model.decoding import Decoding
from model.latents import slerp
from model.sampler import Part, Sampler

NDJSON = "application/x-ndjson"
LISTED = "one of the 3 labels that GET /v1/models/countries lists"
DRAWN: dict[str, Any] = {"mode": "sample", "temperature": 1.5}


@pytest.fixture(scope="module")
def client(conditional_model: Path, tiny_model: Path) -> Iterator[httpx.Client]:
    """Of a service of two models, the other of which is not conditional."""
    with process("--model", conditional_model, "--models", tiny_model.parent, "--set=slice=32") as service:
        with httpx.Client(base_url=service.url, timeout=DEADLINE_S) as client:
            yield client
        assert service.end() == 0


@pytest.fixture(scope="module")
def sampler(conditional_model: Path) -> Sampler:
    return Sampler(Artifact.load(conditional_model), 1)


@pytest.fixture(scope="module")
def plain() -> Iterator[Running]:
    """A service of a model that is not conditional."""
    with running() as service:
        yield service


def generate(client: httpx.Client, accept: str = "application/json", **body: object) -> httpx.Response:
    answer = client.post("/v1/generate", json=body, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer


def are_of(texts: list[str], labels: list[str]) -> bool:
    return all(text and set(text) <= set(LETTERS[label]) for text, label in zip(texts, labels, strict=True))


@pytest.mark.parametrize("label", LABELS.names)
def test_every_string_is_of_the_label_that_was_asked_for(client: httpx.Client, sampler: Sampler, label: str) -> None:
    answer = generate(client, n=50, seed=5, label=label).json()
    assert answer["labels"] == [label] * 50
    assert answer["texts"] == sampler.texts(sampler.latents(5, 0, 50, label))
    assert are_of(answer["texts"], answer["labels"])


def test_without_a_label_each_string_draws_its_own_and_it_is_told(client: httpx.Client, sampler: Sampler) -> None:
    answer = generate(client, n=300, seed=5).json()
    rows = sampler.latents(5, 0, 300)
    assert answer["labels"] == LABELS.names_of(rows)
    assert set(answer["labels"]) == set(LABELS.names)
    assert answer["texts"] == sampler.texts(rows)
    rest = generate(client, n=100, seed=5, first=200).json()
    assert (rest["labels"], rest["texts"]) == (answer["labels"][200:], answer["texts"][200:])


def test_a_model_that_is_not_conditional_answers_no_labels(client: httpx.Client) -> None:
    assert "labels" not in generate(client, n=2, model="tiny").json()
    assert generate(client, "text/csv", n=1, model="tiny").text.startswith("index,text\r\n0,")
    assert client.get("/v1/models/tiny").json()["labels"] is None


bodies = st.fixed_dictionaries(
    {"n": st.integers(1, 60), "seed": st.integers(0, 9), "first": st.integers(0, 10_000)},
    optional={"label": st.sampled_from(LABELS.names), "mode": st.just("sample")},
)


@settings(deadline=None, max_examples=25)
@given(together=st.lists(bodies, min_size=2, max_size=8))
def test_no_answer_depends_on_the_labels_that_others_ask_for(
    client: httpx.Client, sampler: Sampler, together: list[dict[str, Any]]
) -> None:
    with ThreadPoolExecutor(len(together)) as pool:
        answers = list(pool.map(lambda body: generate(client, **body).json(), together))
    for body, answer in zip(together, answers, strict=True):
        rows = sampler.latents(body["seed"], body["first"], body["n"], body.get("label"))
        parts = [Part(0, body["n"], body["seed"], body["first"], Decoding(1.0))] if "mode" in body else []
        assert (answer["texts"], answer["labels"]) == (sampler.texts(rows, parts), LABELS.names_of(rows))


def test_a_stream_of_ndjson_tells_the_label_of_each_string(client: httpx.Client, sampler: Sampler) -> None:
    *rows, summary = map(json.loads, generate(client, NDJSON, n=2000, seed=5).text.splitlines())
    latents = sampler.latents(5, 0, 2000)
    expected = zip(range(2000), sampler.texts(latents), LABELS.names_of(latents), strict=True)
    assert rows == [{"index": i, "text": text, "label": label} for i, text, label in expected]
    assert summary["summary"]["accepted"] == 2000


def test_csv_has_a_column_of_labels_and_plain_text_has_none(client: httpx.Client) -> None:
    whole = generate(client, n=40, seed=5, label="fr", scores=True).json()
    head, *rows = csv.reader(io.StringIO(generate(client, "text/csv", n=40, seed=5, label="fr", scores=True).text))
    assert head == ["index", "text", "label", "score"]
    assert [row[:3] for row in rows] == [[str(i), text, "fr"] for i, text in enumerate(whole["texts"])]
    assert generate(client, "text/csv", n=1, seed=5).text.startswith("index,text,label\r\n0,")
    lines = generate(client, "text/plain", n=40, seed=5, label="fr").text.splitlines()
    assert lines == whole["texts"]


def test_a_label_and_constraints_hold_together(client: httpx.Client) -> None:
    masked = generate(client, n=20, seed=5, label="fr", prefix="dd").json()
    assert all(text.startswith("dd") for text in masked["texts"])
    assert are_of(masked["texts"], masked["labels"])
    rejected = generate(client, n=20, seed=5, label="it", pattern="e.*f", unique=True, **DRAWN).json()
    assert all(text[0] + text[-1] == "ef" for text in rejected["texts"])
    assert are_of(rejected["texts"], ["it"] * 20)
    assert rejected["attempted"] > rejected["accepted"] == 20


def test_strings_that_constraints_accept_keep_their_own_labels(client: httpx.Client, sampler: Sampler) -> None:
    *rows, summary = map(json.loads, generate(client, NDJSON, n=50, seed=5, pattern="[cdef]+").text.splitlines())
    latents = sampler.latents(5, 0, summary["summary"]["attempted"])
    drawn = LABELS.names_of(latents)
    assert [row["index"] for row in rows] == [i for i, label in enumerate(drawn) if label != "de"]
    assert [row["label"] for row in rows] == [label for label in drawn if label != "de"]


def test_no_training_string_is_novel_under_its_label(client: httpx.Client) -> None:
    (known,) = generate(client, n=1, seed=0, label="de").json()["texts"]
    novel = generate(client, n=300, seed=0, label="de", novel=True).json()
    assert known not in novel["texts"]
    assert set(novel["labels"]) == {"de"}
    assert novel["attempted"] > 300


def test_latents_are_those_of_the_seed_without_the_label(client: httpx.Client, sampler: Sampler) -> None:
    answer = generate(client, n=3, seed=5, label="it", latents=True).json()
    assert answer["latents"] == sampler.latents(5, 0, 3)[:, :LATENT].tolist()


def test_each_string_is_scored_as_one_of_its_label(client: httpx.Client, sampler: Sampler) -> None:
    answer = generate(client, n=20, seed=5, scores=True).json()
    expected = sampler.scores(answer["texts"], answer["labels"])
    assert answer["scores"] == pytest.approx(expected.tolist(), abs=1e-4)


def test_given_texts_are_scored_as_ones_of_the_given_label(client: httpx.Client, sampler: Sampler) -> None:
    texts = ["abab", "cdcd", "xyz"]
    for label in LABELS.names:
        answer = client.post("/v1/score", json={"texts": texts, "label": label})
        assert answer.json()["scores"] == pytest.approx(sampler.scores(texts, [label] * 3).tolist(), abs=1e-4)


ENDS = {"from": {"seed": 1, "first": 4}, "to": {"seed": 2}, "steps": 9}


@pytest.mark.parametrize("label", [None, *LABELS.names])
def test_every_step_has_one_label_given_or_that_of_the_first_string(
    client: httpx.Client, sampler: Sampler, label: str | None
) -> None:
    answer = client.post("/v1/interpolate", json={**ENDS, "label": label}).json()
    start, end = sampler.latents(1, 4, 1), sampler.latents(2, 0, 1)
    expected = label or LABELS.names_of(start)[0]
    path = slerp(start[0, :LATENT], end[0, :LATENT], 9)
    assert answer["label"] == expected
    assert answer["texts"] == sampler.texts(LABELS.beside(path, LABELS.position(expected)))
    assert answer["texts"][0] == sampler.texts(sampler.latents(1, 4, 1, expected))[0]


def test_a_way_from_a_latent_needs_a_label_and_latents_have_none_in_them(client: httpx.Client) -> None:
    ends = {"from": {"latent": [0.5] * LATENT}, "to": {"latent": [-0.5] * LATENT}, "steps": 3}
    content = assert_problem(client.post("/v1/interpolate", json=ends), 422, "invalid-field")
    assert content["detail"] == f"label is missing: it must be {LISTED}"
    answer = client.post("/v1/interpolate", json={**ends, "label": "de"})
    assert are_of(answer.json()["texts"], ["de"] * 3)
    longer = {**ends, "from": {"latent": [0.5] * (LATENT + 3)}, "label": "de"}
    content = assert_problem(client.post("/v1/interpolate", json=longer), 422, "invalid-field")
    assert content["detail"] == "from.latent must be an array of 16 numbers, got 19"


ASKED = {"/v1/generate": {"n": 1}, "/v1/score": {"texts": ["a"]}, "/v1/interpolate": ENDS}


@pytest.mark.parametrize(("path", "body"), ASKED.items(), ids=ASKED)
def test_an_unknown_label_is_refused_without_repeating_it(
    client: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    for label in ("atlantis", ""):
        answer = client.post(path, json={**body, "label": label})
        content = assert_problem(answer, 422, "invalid-field")
        assert content["errors"] == [{"field": "label", "detail": f"label must be {LISTED}", "bound": LISTED}]
        assert "atlantis" not in answer.text


@pytest.mark.parametrize(("path", "body"), ASKED.items(), ids=ASKED)
def test_a_label_of_a_model_without_labels_is_refused(plain: Running, path: str, body: dict[str, Any]) -> None:
    content = assert_problem(plain.ask(path, {**body, "label": "de"}), 422, "invalid-field")
    assert content["errors"][0]["field"] == "label"
    assert content["detail"] == "label needs a conditional model, and this one is not"


def test_texts_are_not_scored_without_saying_as_what(client: httpx.Client) -> None:
    content = assert_problem(client.post("/v1/score", json={"texts": ["a"]}), 422, "invalid-field")
    assert content["errors"] == [
        {"field": "label", "detail": f"label is missing: it must be {LISTED}", "bound": LISTED}
    ]


def test_a_model_lists_its_labels_with_their_shares(client: httpx.Client) -> None:
    labels = client.get("/v1/models/countries").json()["labels"]
    assert labels == [
        {"name": "de", "share": 0.5},
        {"name": "fr", "share": 0.3},
        {"name": "it", "share": 0.2},
    ]
