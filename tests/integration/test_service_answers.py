"""What is answered to requests that are in order, behind a real server."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest
from fake_engine import FakeEngine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import HEAD, Running, assert_problem, running, until

IDENTITY = {"name": "names", "digest": "d" * 64}
NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as service:
        yield service


def test_generate_answers_texts_seed_and_model(service: Running) -> None:
    answer = service.post(n=3, seed=7)
    assert answer.status_code == 200
    assert answer.headers["charwgan-seed"] == "7"
    assert answer.json() == {
        "texts": ["7:0", "7:1", "7:2"],
        "seed": 7,
        "first": 0,
        "model": IDENTITY,
        "attempted": 3,
        "accepted": 3,
    }


def test_an_absent_seed_is_drawn_and_told(service: Running) -> None:
    first, second = service.post().json(), service.post(seed=None).json()
    assert first["seed"] != second["seed"]
    assert 0 <= first["seed"] < 2**53


def test_first_continues_where_another_request_ended(service: Running) -> None:
    whole = service.post(n=10, seed=7).json()["texts"]
    assert whole == service.post(n=4, seed=7).json()["texts"] + service.post(n=6, seed=7, first=4).json()["texts"]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), first=st.integers(0, 10_000), n=st.integers(1, 700))
def test_a_string_depends_on_its_seed_and_place_alone(service: Running, seed: int, first: int, n: int) -> None:
    answer = service.post(n=n, seed=seed, first=first).json()
    assert answer["texts"] == [f"{seed}:{i}" for i in range(first, first + n)]


def test_scores_and_latents_come_when_they_are_asked_for(service: Running) -> None:
    answer = service.post(n=2, seed=7, scores=True, latents=True).json()
    assert answer["scores"] == [3, 3]
    assert answer["latents"] == [[7, 0], [7, 1]]


def test_constraints_are_met_and_what_it_took_is_told(service: Running) -> None:
    answer = service.post(n=5, seed=7, pattern="7:[02468]+", min_length=4).json()
    assert answer["texts"] == ["7:20", "7:22", "7:24", "7:26", "7:28"]
    assert (answer["attempted"], answer["accepted"]) == (29, 5)


def test_what_was_found_is_answered_where_attempts_end(service: Running) -> None:
    answer = service.post(n=50, seed=7, pattern="7:[02468]", max_attempts=100).json()
    assert answer["texts"] == ["7:0", "7:2", "7:4", "7:6", "7:8"]
    assert (answer["attempted"], answer["accepted"]) == (100, 5)


def test_constraints_that_nothing_met_are_named(service: Running) -> None:
    content = assert_problem(service.post(seed=7, pattern="8:.*", max_attempts=20), 422, "too-many-attempts")
    assert content["errors"][0]["field"] == "pattern"
    assert "none of 20 strings met the constraints, of which pattern refused 20" in content["detail"]


IMPOSSIBLE = {
    "longer than the model's strings": ({"min_length": 17}, "min_length"),
    "longest below shortest": ({"min_length": 5, "max_length": 4}, "min_length"),
    "prefix too long": ({"prefix": "1" * 17}, "prefix"),
    "prefix of other characters": ({"prefix": "abc"}, "prefix"),
    "prefix outside of the charset": ({"prefix": "9", "charset": "123"}, "prefix"),
    "charset of other characters": ({"charset": "abc"}, "charset"),
    "pattern of other characters": ({"pattern": "[a-z]+"}, "pattern"),
    "pattern that is too long": ({"pattern": "[0-9]{17}"}, "pattern"),
    "no hashes to tell what is novel": ({"novel": True}, "novel"),
}


@pytest.mark.parametrize(("body", "field"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_be_met_is_said_at_once(service: Running, body: dict[str, object], field: str) -> None:
    before = len(service.engine.runs)
    content = assert_problem(service.ask("/v1/generate", body), 422, "unsatisfiable")
    assert content["errors"][0]["field"] == field
    assert content["errors"][0]["bound"]
    assert len(service.engine.runs) == before


CONFLICTS = {
    "temperature": {"temperature": 0.5},
    "label": {"label": "de_DE"},
    "pattern": {"pattern": "(a"},
}


UNMET: dict[str, tuple[object, object]] = {  # by field: its value, and how the answer shows it
    "prefix": ("é", "a string of 1"),
    "charset": ("éè", "a string of 2"),
    "pattern": ("é+", "a string of 2"),
    "min_length": (1000, 1000),
    "novel": (True, "a boolean"),
}


@pytest.mark.parametrize(("field", "value", "shown"), [(field, *each) for field, each in UNMET.items()], ids=UNMET)
def test_what_no_string_can_meet_is_shown_as_what_was_given(
    service: Running, field: str, value: object, shown: object
) -> None:
    content = assert_problem(service.ask("/v1/generate", {field: value}), 422, "unsatisfiable")
    assert (content["errors"][0]["field"], content["errors"][0]["given"]) == (field, shown)


@pytest.mark.parametrize(("field", "body"), CONFLICTS.items(), ids=CONFLICTS)
def test_what_does_not_fit_is_said_with_its_field(service: Running, field: str, body: dict[str, object]) -> None:
    content = assert_problem(service.ask("/v1/generate", body), 422, "invalid-field")
    assert content["errors"][0]["field"] == field


def test_more_than_an_object_holds_is_referred_to_streams(service: Running) -> None:
    content = assert_problem(service.post(n=20_000), 422, "invalid-field")
    assert "n must be an integer between 1 and 10000, got 20000: ask for application/x-ndjson" in content["detail"]
    assert content["errors"][0]["given"] == 20_000


def test_a_stream_of_ndjson_ends_with_a_summary(service: Running) -> None:
    answer = service.ask("/v1/generate", {"n": 2500, "seed": 7}, accept=NDJSON)
    assert answer.headers["content-type"] == "application/x-ndjson; charset=utf-8"
    *rows, summary = map(json.loads, answer.text.splitlines())
    assert rows == [{"index": i, "text": f"7:{i}"} for i in range(2500)]
    assert summary == {"summary": {"seed": 7, "first": 0, "model": IDENTITY, "attempted": 2500, "accepted": 2500}}


def test_a_streams_index_makes_its_string_again(service: Running) -> None:
    body = {"n": 5, "seed": 7, "pattern": "7:[02468]+", "first": 3, "scores": True, "latents": True}
    *rows, _ = map(json.loads, service.ask("/v1/generate", body, accept=NDJSON).text.splitlines())
    for row in rows:
        assert service.post(n=1, seed=7, first=row["index"]).json()["texts"] == [row["text"]]
        assert row["score"] == len(row["text"])
        assert row["latent"] == [7, row["index"]]


def test_a_stream_of_csv_has_a_head_and_one_of_plain_text_has_not(service: Running) -> None:
    body = {"n": 3, "seed": 7, "scores": True}
    rows = list(csv.reader(io.StringIO(service.ask("/v1/generate", body, accept="text/csv").text)))
    assert rows == [["index", "text", "score"], *([str(i), f"7:{i}", "3.0"] for i in range(3))]
    plain = service.ask("/v1/generate", {"n": 3, "seed": 7}, accept="text/plain")
    assert plain.text == "7:0\n7:1\n7:2\n"
    assert plain.headers["charwgan-model-digest"] == "d" * 64


def test_what_a_form_cannot_carry_is_refused(service: Running) -> None:
    for body, accept in (({"scores": True}, "text/plain"), ({"latents": True}, "text/csv")):
        content = assert_problem(service.ask("/v1/generate", body, accept=accept), 422, "invalid-field")
        assert content["errors"][0]["field"] == next(iter(body))


def test_the_form_is_the_one_that_is_liked_best_or_there_is_none(service: Running) -> None:
    answer = service.ask("/v1/generate", {}, accept="application/json;q=0.1, text/csv;q=0.5, image/png")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    twice = [("accept", "image/png"), ("accept", "text/csv")]
    assert service.client.post("/v1/generate", json={}, headers=twice).headers["content-type"].startswith("text/csv")
    assert_problem(service.ask("/v1/generate", {}, accept="image/png"), 406, "not-acceptable")


def test_a_stream_to_http_1_0_ends_with_its_connection(service: Running) -> None:
    body = b'{"n": 3, "seed": 7}'
    head = HEAD.replace("HTTP/1.1", "HTTP/1.0") + f"Accept: text/plain\nContent-Length: {len(body)}"
    with service.raw(head, body) as connection:
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.endswith(b"\r\n\r\n7:0\n7:1\n7:2\n")
    assert b"transfer-encoding" not in answer.lower()


def test_an_engine_that_fails_in_a_stream_is_told_in_its_last_line() -> None:
    engine = FakeEngine(gated=True)
    with running(engine) as service:
        engine.permits.release(2)
        with service.client.stream("POST", "/v1/generate", json={"n": 5000}, headers={"accept": NDJSON}) as answer:
            lines = answer.iter_lines()
            next(lines)
            engine.broken = RuntimeError("the engine broke")
            engine.open()
            last = json.loads(list(lines)[-1])
        assert last["error"]["type"] == "/docs#engine-failed"
        assert last["error"]["status"] == 500


def test_a_reader_that_leaves_a_stream_ends_its_work() -> None:
    with running() as service:
        body = {"n": 10_000_000, "seed": 5}
        with service.client.stream("POST", "/v1/generate", json=body, headers={"accept": NDJSON}) as answer:
            next(answer.iter_lines())
        until(lambda: not service.app.state.serving.batcher._open)
        assert sum(text.startswith("5:") for run in service.engine.runs for text in run) < 1_000_000


def test_score_judges_given_strings(service: Running) -> None:
    answer = service.ask("/v1/score", {"texts": ["1", "12", ""]})
    assert answer.json() == {"scores": [1, 2, 0], "percentiles": None, "model": IDENTITY}


def test_interpolate_leads_from_one_string_to_the_other(service: Running) -> None:
    answer = service.ask("/v1/interpolate", {"from": {"seed": 7, "first": 3}, "to": {"latent": [9.0, 1.0]}, "steps": 4})
    texts = answer.json()["texts"]
    assert len(texts) == 4
    assert (texts[0], texts[-1]) == ("7:3", "9:1")


ENDS = {
    "neither": ({}, "from"),
    "both": ({"seed": 1, "latent": [1.0, 2.0]}, "from"),
    "another size": ({"latent": [1.0]}, "from.latent"),
    "infinite": ({"latent": [1.0, 1e999]}, "from.latent[1]"),
    "a word": ({"latent": ["x"]}, "from.latent[0]"),
    "unknown": ({"x": 1}, None),
}


@pytest.mark.parametrize(("end", "field"), ENDS.values(), ids=ENDS)
def test_an_end_of_an_interpolation_is_a_seed_or_a_latent(service: Running, end: object, field: str | None) -> None:
    body = json.dumps({"from": end, "to": {"seed": 1}}).replace("Infinity", "1e999")
    answer = service.client.post("/v1/interpolate", content=body, headers={"content-type": "application/json"})
    content = assert_problem(answer, 422, "invalid-field")
    assert content["errors"][0]["field"] == field


def test_models_are_listed_and_an_unknown_one_is_404(service: Running) -> None:
    (model,) = service.client.get("/v1/models").json()["models"]
    assert model == {**IDENTITY, "default": True, "length": 16, "symbols": 13, "variant": "wgan-gp", "critic": True}
    assert service.post(model="names").status_code == 200
    for answer in (service.post(model="others"), service.client.get("/v1/models/others")):
        content = assert_problem(answer, 404, "unknown-model")
        assert content["detail"] == "no model of that name is served: there are names"


def test_what_runs_is_told(service: Running) -> None:
    content = service.client.get("/version").json()
    assert content["models"] == [IDENTITY]
    assert content["engine"] == "onnx"


def test_every_answer_carries_an_id_and_passes_a_trace_on(service: Running) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = service.ask("/v1/generate", {}, **{"x-request-id": "mine-1", "traceparent": trace})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["traceparent"].split("-")[1] == trace.split("-")[1]
    assert "tracestate" not in answer.headers
    state = [("traceparent", trace), ("tracestate", "rojo=00f067"), ("tracestate", "congo=t61")]
    assert service.client.get("/livez", headers=state).headers["tracestate"] == "rojo=00f067,congo=t61"
    ids = {service.client.get(path).headers["x-request-id"] for path in ("/livez", "/nowhere", "/")}
    assert len(ids) == 3
    spoilt = service.client.get("/livez", headers={"x-request-id": "a b"})
    assert spoilt.headers["x-request-id"] != "a b"


def test_problems_and_figures_are_kept_from_caches_and_pages_have_their_own_policy(service: Running) -> None:
    for method, path, status in (("GET", "/a", 404), ("GET", "/static/a", 404), ("POST", "/docs", 405)):
        kind = "not-found" if status == 404 else "method-not-allowed"
        assert_problem(service.client.request(method, path), status, kind)
    for path in ("/readyz", "/metrics", "/v1/models"):
        assert service.client.get(path).headers.get_list("cache-control") == ["no-store"]
    for path in ("/", "/docs"):
        assert "script-src 'self'" in service.client.get(path).headers["content-security-policy"]


def test_what_the_wire_refuses_is_counted_among_the_answers() -> None:
    with running() as service:
        with service.raw("GET / HTTP/1.1") as connection:  # and no host
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
        figures = service.client.get("/metrics").text
    assert 'charwgan_requests_total{method="other",route="other",status="400"} 1.0' in figures
    assert 'charwgan_rejected_total{reason="malformed-request"} 1.0' in figures


def test_requests_are_counted_by_route_and_not_by_path(service: Running) -> None:
    for path in ("/secret-1", "/secret-2"):
        service.client.get(path)
    figures = service.client.get("/metrics").text
    assert 'charwgan_requests_total{method="POST",route="/v1/generate",status="200"}' in figures
    assert "secret" not in figures
    assert 'charwgan_rejected_total{reason="unsatisfiable"}' in figures
    assert 'charwgan_strings_total{model="names"}' in figures
