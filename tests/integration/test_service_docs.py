"""The description of the interface, and the pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Running, assert_problem, running

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "service" / "static"


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as service:
        yield service


OPEN = ("/livez", "/readyz", "/startupz", "/metrics", "/version")


def operations(service: Running) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of every operation."""
    for path, methods in service.client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_endpoint_is_documented(service: Running) -> None:
    documented = {(method, path) for path, method, _ in operations(service)}
    assert documented == {
        *(("post", f"/v1/{name}") for name in ("generate", "score", "interpolate")),
        *(("get", path) for path in ("/v1/models", "/v1/models/{name}", *OPEN)),
    }


def test_every_kind_of_answer_is_documented(service: Running) -> None:
    for path, method, operation in operations(service):
        assert operation["summary"], path
        assert operation["description"], path
        for status, answer in operation["responses"].items():
            media_types = answer["content"]
            assert all("schema" in content for content in media_types.values())
            if status != "200":
                assert media_types.keys() == {"application/problem+json"}
                assert media_types["application/problem+json"]["examples"], (path, status)
        waits = (
            {"400", "401", "404", "408", "413", "415", "422", "429", "431", "500", "503"}
            if method == "post"
            else {"500"}
        )
        assert waits <= operation["responses"].keys(), path


def test_every_reference_of_the_description_leads_somewhere(service: Running) -> None:
    text = service.client.get("/openapi.json").text
    schemas = json.loads(text)["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= set(schemas)


def test_the_examples_of_the_description_work(service: Running) -> None:
    for path, method, operation in operations(service):
        if method == "post":
            for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
                body = {**example["value"], "seed": 1} if path == "/v1/generate" else example["value"]
                assert service.ask(path, body).status_code == 200


def test_the_description_names_the_bounds_of_the_settings() -> None:
    with running(max_n=17, max_stream_n=18, max_attempts=19, deadline_s=20) as service:
        fields = service.client.get("/openapi.json").json()["components"]["schemas"]["GenerateRequest"]["properties"]
        assert fields["n"]["maximum"] == 18
        assert fields["max_attempts"]["anyOf"][0]["maximum"] == 19
        assert fields["deadline_s"]["anyOf"][0]["maximum"] == 20
        assert service.post(n=17).status_code == 200
        assert "between 1 and 17, got 18" in assert_problem(service.post(n=18), 422, "invalid-field")["detail"]
        assert "between 1 and 18, got 19" in assert_problem(service.post(n=19), 422, "invalid-field")["detail"]


def test_the_description_is_the_one_that_is_committed(service: Running) -> None:
    """`python -m service.openapi` writes it anew; the difference is then there to be read."""
    committed = json.loads((ROOT / "service" / "openapi.json").read_text(encoding="utf-8"))
    assert service.client.get("/openapi.json").json() == committed


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_carries_nothing_inline_and_loads_nothing_from_elsewhere(service: Running, path: str) -> None:
    page = service.client.get(path)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|(src|href)=\"(https?:)?//", page.text)
    for address in re.findall(r'(?:src|href)="(static/[^"]+)"', page.text):
        assert service.client.get(f"/{address}").status_code == 200


def test_no_static_file_names_another_host() -> None:
    for file in STATIC.iterdir():
        hosts = set(re.findall(r"https?://[\w.]+", file.read_text(encoding="utf-8")))
        assert hosts <= {"http://www.w3.org"}, file.name  # the name of SVG's namespace
