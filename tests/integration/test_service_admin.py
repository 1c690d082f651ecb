"""The operator's port: versions of models, while a real service answers with them."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from model_versions import contents_of, noted, put
from running import assert_problem
from service_process import DEADLINE_S, Process, process, until

from model.artifact import MANIFEST, Artifact
from service.security import issue

KEY = "an operator's key of some length"
VERBS = ("load", "activate", "rollback")


class Operated:
    """A service with its models folder, and the operator before it."""

    def __init__(self, service: Process, models: Path) -> None:
        self.service, self.models = service, models
        self.client = httpx.Client(base_url=service.url, timeout=DEADLINE_S)
        self.operator = httpx.Client(
            base_url=service.admin_url, timeout=DEADLINE_S, headers={"authorization": f"Bearer {KEY}"}
        )

    def do(self, verb: str, name: str) -> httpx.Response:
        return self.operator.post(f"/admin/models/{name}/{verb}")

    def answering(self, name: str) -> str:
        """The digest of the version that answers."""
        digest: str = self.client.post("/v1/generate", json={"model": name}).json()["model"]["digest"]
        return digest


@pytest.fixture
def models(tiny_model: Path, tmp_path: Path) -> Path:
    for name in ("one", "two"):
        put(tmp_path / "models" / name, noted(tiny_model, name))
    return tmp_path / "models"


@pytest.fixture
def operated(models: Path) -> Iterator[Operated]:
    with process("--models", models, "--set=admin_port=0", CHARWGAN_ADMIN_KEY=KEY) as service:
        operated = Operated(service, models)
        yield operated
        operated.client.close()
        operated.operator.close()
        assert service.end() == 0


def test_a_version_is_loaded_then_activated_and_rolled_back(operated: Operated, tiny_model: Path) -> None:
    before = operated.answering("one")
    after = put(operated.models / "one", noted(tiny_model, "newer"))
    loaded = operated.do("load", "one")
    assert loaded.json() == {"name": "one", "active": before, "previous": None, "staged": after}
    assert operated.answering("one") == before
    assert operated.do("activate", "one").json()["active"] == after == operated.answering("one")
    assert operated.client.get("/v1/models/one").json()["digest"] == after
    assert operated.do("rollback", "one").json()["active"] == before == operated.answering("one")
    assert operated.do("rollback", "one").json()["active"] == after == operated.answering("one")
    held = {model["name"]: model for model in operated.operator.get("/admin/models").json()["models"]}
    assert held["one"] == {"name": "one", "active": after, "previous": before, "staged": None}
    assert held["two"]["active"] == operated.answering("two")
    assert operated.operator.get("/admin/models/one").json() == held["one"]
    for header in ("x-request-id", "x-content-type-options", "cache-control"):
        assert loaded.headers[header]


def test_a_model_that_was_not_there_at_the_start_is_served_when_it_is_loaded(
    operated: Operated, tiny_model: Path
) -> None:
    assert_problem(operated.do("load", "three"), 404, "unknown-model")
    assert_problem(operated.operator.get("/admin/models/three"), 404, "unknown-model")
    assert_problem(operated.client.post("/v1/generate", json={"model": "three"}), 404, "unknown-model")
    digest = put(operated.models / "three", noted(tiny_model, "three"))
    assert operated.do("load", "three").json()["active"] == digest == operated.answering("three")


def test_what_cannot_be_done_is_said_and_what_answers_goes_on(operated: Operated) -> None:
    before = operated.answering("one")
    assert_problem(operated.do("activate", "one"), 409, "model-refused")
    assert_problem(operated.do("rollback", "one"), 409, "model-refused")
    (operated.models / "one" / "generator.onnx").write_bytes(b"")
    content = assert_problem(operated.do("load", "one"), 409, "model-refused")
    assert "one/generator.onnx is damaged" in content["detail"]
    assert str(operated.models) not in content["detail"]
    shutil.move(operated.models, operated.models.with_name("elsewhere"))
    assert_problem(operated.do("load", "one"), 409, "model-refused")
    assert operated.answering("one") == before
    for path in ("/readyz", "/startupz", "/livez"):
        assert operated.client.get(path).status_code == 200


@pytest.mark.parametrize("body", [b"junk", b"{}", b"x" * 70_000], ids=["junk", "an object", "too much"])
def test_a_body_is_refused_and_nothing_is_done(operated: Operated, tiny_model: Path, body: bytes) -> None:
    put(operated.models / "one", noted(tiny_model, "newer"))
    versions = operated.operator.get("/admin/models/one").json()
    status, kind = (413, "body-too-large") if len(body) > 2**16 else (400, "malformed-body")
    for method, path in (("GET", ""), ("GET", "/one"), *(("POST", f"/one/{verb}") for verb in VERBS)):
        refused = operated.operator.request(method, f"/admin/models{path}", content=body)
        detail = assert_problem(refused, status, kind)["detail"]
        assert status == 413 or f"this path takes no body, got one of {len(body)} bytes" in detail
    assert operated.operator.get("/admin/models/one").json() == versions
    assert operated.operator.post("/admin/models/one/load", content=b"").status_code == 200


def test_a_version_that_waits_changes_nothing_of_what_is_told_of_the_one_that_answers(
    operated: Operated, tiny_model: Path
) -> None:
    before = operated.client.get("/v1/models/one").json()
    put(operated.models / "one", noted(tiny_model, "newer") | {"README.md": b"another card"})
    assert operated.do("load", "one").json()["staged"]
    assert operated.client.get("/v1/models/one").json() == before


def test_the_kinds_of_problem_are_described_where_they_say(operated: Operated) -> None:
    kind = assert_problem(operated.do("load", "none"), 404, "unknown-model")["type"]
    with httpx.Client(base_url=operated.service.admin_url, timeout=DEADLINE_S) as visitor:  # who has no key yet
        page = visitor.get(kind)
        assert page.headers["content-type"].startswith("text/html")
        for link in re.findall(r'(?:href|src)="([^"#]+)"', page.text):
            assert visitor.get(f"/{link}").status_code == 200, link
        description = visitor.get("/openapi.json").json()
        assert kind.partition("#")[2] in description["components"]["examples"]
        assert "/admin/models/{name}" in description["paths"]


HOSTILE = [
    "%2e%2e",
    "..%2fone",
    "%2e%2e%2fmodels%2fone",
    "%2fetc%2fpasswd",
    "http:%2f%2f127.0.0.1%2fone",
    "one%00",
    "one%0a",
    "ONE",
    "%ff%fe",
    "-one",
    "nosuchmodel",
    "o" * 3000,
    "%F0%9F%92%A5",
]


def test_a_model_is_named_and_never_addressed(operated: Operated) -> None:
    outside = operated.models.parent / "outside"
    shutil.copytree(operated.models / "one", outside)
    for verb in VERBS:
        for name in [*HOSTILE, "..%2foutside", str(outside).replace("/", "%2f")]:
            answer = operated.do(verb, name)
            kind = answer.json()["type"].removeprefix("/docs#")
            assert kind in ("unknown-model", "not-found"), (verb, name)
            detail = assert_problem(answer, 404, kind)["detail"]
            assert not any(part in detail for part in ("etc", "nosuchmodel", "outside", "ooo", "http:"))
    assert {model["name"] for model in operated.client.get("/v1/models").json()["models"]} == {"one", "two"}


def test_the_port_opens_to_its_own_key_alone(models: Path, tmp_path: Path) -> None:
    key, line = issue_in(tmp_path)
    settings = ("--keys-file", line, "--set=admin_port=0")
    with process("--models", models, *settings, CHARWGAN_ADMIN_KEY=KEY) as service:
        for given in (None, "Bearer", "Bearer x", f"Bearer {key}", f"Basic {KEY}", f"Bearer {KEY} "[:-2]):
            headers = {} if given is None else {"authorization": given}
            for path in ("/admin/models", "/admin/models/one", "/livez", "/metrics", "/nowhere"):
                refused = httpx.get(service.admin_url + path, headers=headers)
                assert_problem(refused, 401, "unauthorized")
                assert refused.headers["www-authenticate"].startswith("Bearer")
            refused = httpx.post(f"{service.admin_url}/admin/models/one/load", headers=headers)
            assert_problem(refused, 401, "unauthorized")
        for given in (key, KEY):
            headers = {"authorization": f"Bearer {given}"}
            answer = httpx.get(f"{service.url}/admin/models", headers=headers)
            assert answer.status_code == (404 if given == key else 401)
        assert service.admin_url.startswith("http://127.0.0.1:")
        assert service.end() == 0
        assert not any(KEY in said or key in said for said in service.lines)


def issue_in(folder: Path) -> tuple[str, Path]:
    """A key, and the file that lets it in."""
    key, line = issue("laptop")
    (folder / "keys").write_text(line + "\n", encoding="utf-8")
    return key, folder / "keys"


def test_there_is_no_such_port_unless_it_is_asked_for(models: Path) -> None:
    with process("--models", models, CHARWGAN_ADMIN_KEY=KEY) as service:
        assert httpx.get(f"{service.url}/admin/models", headers={"authorization": KEY}).status_code == 404
        assert service.end() == 0
        assert not any("admin" in said for said in service.lines)


def test_a_hangup_takes_what_changed(operated: Operated, tiny_model: Path) -> None:
    two = operated.answering("two")
    operated.service.send(signal.SIGHUP)
    operated.service.said("reloaded: no model has changed")
    digest = put(operated.models / "one", noted(tiny_model, "newer"))
    put(operated.models / "three", noted(tiny_model, "three"))
    operated.service.send(signal.SIGHUP)
    operated.service.said("reloaded: one, three")
    assert (operated.answering("one"), operated.answering("two")) == (digest, two)
    shutil.move(operated.models, operated.models.with_name("elsewhere"))
    operated.service.send(signal.SIGHUP)
    operated.service.said("reloaded: no model has changed", times=2)
    assert operated.answering("one") == digest


def test_a_watched_folder_is_taken_when_it_is_whole(models: Path, tiny_model: Path) -> None:
    """However it gets there: replaced at once, copied file by file, or gone in between."""
    with process("--models", models, "--set=watch_s=0.05", "--set=admin_port=0", CHARWGAN_ADMIN_KEY=KEY) as service:
        watched = Operated(service, models)
        digest = put(models / "one", noted(tiny_model, "newer"))
        until(lambda: watched.answering("one") == digest)

        source = models.parent / "source"
        digest = put(source, noted(tiny_model, "copied by hand"))
        (models / "two" / MANIFEST).write_bytes((source / MANIFEST).read_bytes())
        service.said("model two was not loaded")
        shutil.copytree(source, models / "two", dirs_exist_ok=True)
        until(lambda: watched.answering("two") == digest)

        shutil.move(models, models.with_name("elsewhere"))
        service.said("cannot read the models folder")
        shutil.move(models.with_name("elsewhere"), models)
        digest = put(models / "one", contents_of(tiny_model))
        assert digest == Artifact.load(tiny_model).digest
        until(lambda: watched.answering("one") == digest)
        watched.client.close()
        watched.operator.close()
        assert service.end() == 0
