"""The description of the interface: complete, exact, and true of the service."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from described import operations
from fake_engine import DEADLINE_S
from model_versions import noted, put
from running import Running, assert_problem, running
from service_process import process

from model.artifact import Artifact
from service import examples
from service.conventions import STATE, TRACE
from service.errors import KINDS, MEDIA_TYPE
from service.openapi import write
from service.security import issue

ROOT = Path(__file__).parents[2]
JSON, NDJSON = "application/json", "application/x-ndjson"
POSTS = ("/v1/generate", "/v1/score", "/v1/interpolate")
OPEN = ("/livez", "/readyz", "/startupz", "/metrics", "/version")
COMMITTED = {
    name: json.loads((ROOT / "service" / name).read_text(encoding="utf-8"))
    for name in ("openapi.json", "openapi-admin.json")
}
BOTH = pytest.mark.parametrize("document", COMMITTED.values(), ids=COMMITTED)


@pytest.fixture(scope="module")
def artifact(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model called names that can say everything."""
    folder = tmp_path_factory.mktemp("models") / "names"
    shutil.copytree(tiny_model, folder)
    return replace(Artifact.load(folder), metrics={"critic_scores": {"real": [0, 9], "generated": [0, 9]}})


@pytest.fixture(scope="module")
def service(artifact: Artifact) -> Iterator[Running]:
    with running(artifact=artifact) as service:
        yield service


def test_the_descriptions_are_the_ones_that_are_committed(service: Running, tmp_path: Path) -> None:
    """`python -m service.openapi` writes them anew; the difference is then there to be read."""
    write(tmp_path)
    assert {name: json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in COMMITTED} == COMMITTED
    assert service.client.get("/openapi.json").json() == COMMITTED["openapi.json"]


def test_every_endpoint_is_described(service: Running) -> None:
    described = {(method, path) for path, method, _ in operations(COMMITTED["openapi.json"])}
    gets = ("/v1/models", "/v1/models/{name}", *OPEN)
    assert described == {*(("post", path) for path in POSTS), *(("get", path) for path in gets)}


@BOTH
def test_every_answer_of_every_operation_is_described_and_shown(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        around = {"400", "408", "413", "431", "500", "503"} | ({"401"} if operation["security"] else set())
        queued = {"404", "415", "422", "429"} if path in POSTS else set()
        assert around | queued <= operation["responses"].keys(), path
        for status, answer in operation["responses"].items():
            assert answer["description"]
            assert (status == "200") == (answer["content"].keys() != {MEDIA_TYPE})
            for content in answer["content"].values():
                assert "schema" in content
                assert content.get("example") or content["examples"], (path, status)


@BOTH
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = re.findall(r'"\$ref": "#/components/(\w+)/([^"/]+)"', json.dumps(document))
    assert len(found) == json.dumps(document).count('"$ref"') > 50
    assert all(name in document["components"][kind] for kind, name in found)


@BOTH
def test_every_example_is_what_its_schema_allows(document: dict[str, Any]) -> None:
    def valid(schema: dict[str, Any], value: object) -> bool:
        whole = {**schema, "components": {"schemas": document["components"]["schemas"]}}
        return jsonschema_rs.validator_for(whole).is_valid(value)

    seen = 0
    for path, _, operation in operations(document):
        answers = [*operation["responses"].values(), *filter(None, [operation.get("requestBody")])]
        for media_type, content in (pair for answer in answers for pair in answer["content"].items()):
            for value in [content["example"]] if "example" in content else shown(content):
                lines = [json.loads(line) for line in value.splitlines()] if media_type == NDJSON else value
                assert valid(content["schema"], lines), (path, value)
                seen += 1
        for header in (header for answer in answers for header in answer.get("headers", {}).values()):
            assert "example" not in header or valid(header["schema"], header["example"])
    assert seen > 50


def shown(content: dict[str, Any]) -> list[Any]:
    """The values of the examples of a body."""
    return [example["value"] for example in content["examples"].values()]


def shape(value: object) -> object:
    """What two answers of one kind have in common: keys, kinds and counts, but not what only a model itself says."""
    match value:
        case dict():
            return {
                key: None if key in ("config", "metrics", "refused") else shape(part) for key, part in value.items()
            }
        case list():
            return [shape(part) for part in value]
        case int() | float() if not isinstance(value, bool):
            return "number"
    return type(value).__name__


@pytest.mark.parametrize("path", POSTS)
def test_an_example_of_a_request_gets_an_answer_like_its_example(service: Running, path: str) -> None:
    operation = {at: each for at, _, each in operations(COMMITTED["openapi.json"])}[path]
    bodies, answers = operation["requestBody"]["content"][JSON], operation["responses"]["200"]["content"][JSON]
    assert bodies["examples"].keys() == answers["examples"].keys()
    for body, expected in zip(shown(bodies), shown(answers), strict=True):
        # A drawn seed may have strings of another length than the constraints allow.
        answer = service.ask(path, {"seed": 1, **body} if path == "/v1/generate" else body).json()
        assert shape(answer) == shape(expected)


STREAMS = {NDJSON: examples.NDJSON, "text/csv": examples.CSV, "text/plain": examples.PLAIN}


@pytest.mark.parametrize("media_type", STREAMS)
def test_a_stream_looks_like_its_example(service: Running, media_type: str) -> None:
    expected = STREAMS[media_type]
    text = service.ask("/v1/generate", {"n": 2, "seed": 42}, accept=media_type).text
    if media_type == NDJSON:
        told, meant = ([shape(json.loads(line)) for line in each.splitlines()] for each in (text, expected))
        assert told == meant
    else:
        told, meant = (re.findall(r"[,\r\n]", each) for each in (text, expected))
        assert told == meant


def test_what_is_read_looks_like_its_example(service: Running) -> None:
    for path, method, operation in operations(COMMITTED["openapi.json"]):
        if method == "get" and path != "/metrics":
            (expected,) = shown(operation["responses"]["200"]["content"][JSON])
            assert shape(service.client.get(path.replace("{name}", "names")).json()) == shape(expected), path


def test_what_the_operator_is_answered_looks_like_its_example(tiny_model: Path, tmp_path: Path) -> None:
    key, models = "an operator's key", tmp_path / "models"
    put(models / "names", noted(tiny_model, "first"))
    with process("--models", models, "--set=admin_port=0", CHARWGAN_ADMIN_KEY=key) as service:
        headers = {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=service.admin_url, headers=headers, timeout=DEADLINE_S) as operator:
            assert operator.get("/openapi.json").json() == COMMITTED["openapi-admin.json"]
            assert shape(operator.get("/admin/models").json()) == shape(examples.ANSWERS["versions"])
            put(models / "names", noted(tiny_model, "second"))
            for verb, told in (("load", "loaded"), ("activate", "activated"), ("rollback", "rolled-back")):
                answer = operator.post(f"/admin/models/names/{verb}").json()
                assert shape(answer) == shape(examples.ANSWERS[told])
        assert service.end() == 0


def test_every_kind_of_problem_is_shown_with_what_to_do() -> None:
    assert list(examples.PROBLEMS) == list(KINDS)
    for document in COMMITTED.values():
        for name, kind in KINDS.items():
            example = document["components"]["examples"][name]
            assert (example["summary"], example["description"]) == (kind.title, kind.advice)
            assert example["value"]["status"] == kind.status


REFUSED: dict[str, dict[str, Any]] = {
    "malformed-body": {"json": [1, 2]},
    "not-found": {"url": "/nowhere"},
    "unknown-model": {"json": {"model": "others"}},
    "method-not-allowed": {"method": "GET"},
    "not-acceptable": {"json": {}, "headers": {"accept": "image/png"}},
    "body-too-large": {"json": ["x" * 70_000]},
    "unsupported-media-type": {"content": b"{}"},
    "invalid-field": {"json": {"mode": "sample", "temperature": -1}},
    "unsatisfiable": {"json": {"min_length": 5, "max_length": 4}},
    "too-many-attempts": {"json": {"pattern": "xyz", "max_attempts": 100}},
    "headers-too-large": {"headers": {"x-long": "x" * 40_000}},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_problem_is_answered_as_it_is_shown(service: Running, kind: str) -> None:
    request = {"method": "POST", "url": "/v1/generate"} | REFUSED[kind]
    answer = service.client.request(**request)
    assert assert_problem(answer, KINDS[kind].status, kind) == examples.PROBLEMS[kind].content()
    if kind not in ("not-found", "method-not-allowed"):  # of no operation
        told = next(each for path, _, each in operations(COMMITTED["openapi.json"]) if path == request["url"])
        assert kind in told["responses"][str(answer.status_code)]["content"][MEDIA_TYPE]["examples"]


def test_who_needs_a_key_is_told_exactly(artifact: Artifact) -> None:
    key, line = issue("laptop")
    with running(artifact=artifact, keys=line) as service:
        document = service.client.get("/openapi.json").json()
        for path, method, operation in operations(document):
            answer = service.client.request(method, path.replace("{name}", "names"))
            assert operation["security"] == ([{"key": []}] if answer.status_code == 401 else [])
            assert ("401" in operation["responses"]) == (answer.status_code == 401)
        refused = service.client.get("/v1/models")
        assert assert_problem(refused, 401, "unauthorized") == examples.PROBLEMS["unauthorized"].content()
        header = document["components"]["headers"]["WWW-Authenticate"]
        assert refused.headers["www-authenticate"] == header["schema"]["const"]
        assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
        assert service.client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200
    for path, _, operation in operations(COMMITTED["openapi.json"]):
        assert operation["security"] == ([] if path in OPEN else [{"key": []}, {}])


def test_the_headers_of_an_answer_are_those_that_are_described(artifact: Artifact) -> None:
    trace = {"traceparent": TRACE, "tracestate": STATE}
    with running(artifact=artifact, rate_limit=6) as service:
        answers = {path: each["responses"] for path, _, each in operations(service.client.get("/openapi.json").json())}
        for body, status in (({"n": 6}, "200"), ({"n": 6}, "429"), ({"n": 7}, "422")):
            answer = service.ask("/v1/generate", body, **trace)
            described = {name.lower() for name in answers["/v1/generate"][status]["headers"]}
            own = {name for name in answer.headers if name.startswith(("x-request", "trace", "rate", "retry", "charw"))}
            assert str(answer.status_code) == status
            assert own <= described
            assert described <= own or status == "422"  # a field is out of bounds before anything is counted


def described_headers(status: str) -> set[str]:
    """The names of the headers of answers of ``POST /v1/generate`` with this status."""
    (told,) = (each for path, _, each in operations(COMMITTED["openapi.json"]) if path == "/v1/generate")
    return {name.lower() for name in told["responses"][status]["headers"]}


def test_the_headers_of_what_the_wire_refuses_are_described(service: Running) -> None:
    refused = service.client.get("/", headers={"x-long": "x" * 40_000})
    assert "x-request-id" in refused.headers
    assert described_headers(str(refused.status_code)) == {"x-request-id"}


def test_a_coding_that_is_not_taken_is_answered_with_the_one_that_is_described(service: Running) -> None:
    headers = {"content-type": JSON, "content-encoding": "gzip"}
    refused = service.client.post("/v1/generate", content=b"{}", headers=headers)
    schema = COMMITTED["openapi.json"]["components"]["headers"]["Accept-Encoding"]["schema"]
    assert refused.headers["accept-encoding"] == schema["const"]
    assert "accept-encoding" in described_headers("415")


def test_every_operation_says_which_headers_it_takes(service: Running) -> None:
    for document in COMMITTED.values():
        for path, _, operation in operations(document):
            sent = {each["name"] for each in operation["parameters"] if each["in"] == "header"}
            assert sent == {"X-Request-Id", "traceparent", "tracestate"}, path


def test_the_description_names_the_bounds_of_the_settings() -> None:
    with running(max_n=17, max_stream_n=18, max_attempts=19, deadline_s=20) as service:
        fields = service.client.get("/openapi.json").json()["components"]["schemas"]["GenerateRequest"]["properties"]
        assert fields["n"]["maximum"] == 18
        assert fields["max_attempts"]["anyOf"][0]["maximum"] == 19
        assert fields["deadline_s"]["anyOf"][0]["maximum"] == 20
        assert service.post(n=17).status_code == 200
        assert "between 1 and 17, got 18" in assert_problem(service.post(n=18), 422, "invalid-field")["detail"]
        told = assert_problem(service.post(n=19), 422, "invalid-field")["detail"]
        assert "between 1 and 17 (in a stream 18), got 19" in told
