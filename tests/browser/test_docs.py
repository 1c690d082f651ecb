"""The page that describes the interface shows all that openapi.json holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import Page
from running import Running, running

READY = "document.querySelector('main').ariaBusy === 'false'"
TEXT = {"type": "string"}

# What OpenAPI 3.1 has, whether this service uses it or not.
UNUSUAL: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "odd", "version": "1", "description": "What `odd` does."},
    "security": [{"key": []}, {}],
    "paths": {
        "/things/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 3}}],
            "put": {
                "summary": "Put it",
                "security": [],
                "requestBody": {"$ref": "#/components/requestBodies/Thing"},
                "responses": {"200": {"description": "Done."}, "404": {"$ref": "#/components/responses/Gone"}},
            },
            "get": {
                "summary": "Get it",
                "responses": {
                    "200": {
                        "description": "It.",
                        "headers": {"ETag": {"description": "Its state.", "schema": TEXT, "example": "e-7"}},
                        "content": {
                            "application/json": {
                                "schema": {"oneOf": [{"$ref": "#/components/schemas/Thing"}, {"type": "null"}]},
                                "examples": {"one": {"summary": "A thing with it's <b>", "value": {"id": 5}}},
                            }
                        },
                    }
                },
            },
        }
    },
    "components": {
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "A key."}},
        "requestBodies": {
            "Thing": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}
        },
        "headers": {"X-Odd": {"description": "How odd.", "schema": {"enum": ["very", "not"]}}},
        "responses": {
            "Gone": {
                "description": "No more.",
                "headers": {"X-Odd": {"$ref": "#/components/headers/X-Odd"}},
                "content": {"application/problem+json": {"examples": {"gone": {"$ref": "#/components/examples/gone"}}}},
            }
        },
        "examples": {
            "gone": {
                "summary": "It is gone",
                "description": "Forget it.",
                "value": {"type": "/docs#gone", "status": 404},
            }
        },
        "schemas": {
            "Thing": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {"type": "integer", "exclusiveMinimum": 0, "examples": [5, 6]},
                    "kind": {"const": "thing"},
                    "either": {
                        "anyOf": [{"type": "string", "maxLength": 3}, {"type": "array", "items": {"type": "number"}}]
                    },
                    "both": {"allOf": [{"$ref": "#/components/schemas/Name"}, {"description": "A name."}]},
                    "map": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Name"}},
                    "nullable": {"type": ["string", "null"], "default": "x"},
                    "anything": {},
                },
            },
            "Name": {"type": "string", "pattern": "[a-z]+", "minLength": 1, "maxLength": 9, "format": "name"},
        },
    },
}


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as service:
        yield service


def open_docs(tab: Page, service: Running, anchor: str = "") -> str:
    """What is to be read on the page, with what is folded."""
    tab.open(f"http://127.0.0.1:{service.port}/docs{anchor}")
    tab.until(READY)
    tab.get("document.querySelectorAll('details').forEach(details => { details.open = true })")
    return re.sub(r"\s+", " ", tab.text("body"))


def test_every_path_schema_field_header_and_example_is_shown(tab: Page, service: Running) -> None:
    shown = open_docs(tab, service)
    document = service.client.get("/openapi.json").json()
    assert tab.complaints == []
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in shown
    for name, schema in document["components"]["schemas"].items():
        section = tab.text(f"#schema-{name}")
        for field in schema.get("properties", {}):
            assert re.search(rf"^{field}\b", section, re.MULTILINE), (name, field)
    for kind in ("headers", "securitySchemes"):
        for name, part in document["components"].get(kind, {}).items():
            assert name in shown
            assert part["description"].replace("`", "").split(".")[0] in shown


def test_every_link_within_the_page_leads_somewhere(tab: Page, service: Running) -> None:
    open_docs(tab, service)
    links = tab.get("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => decodeURIComponent(a.hash.slice(1)))")
    assert len(links) > 50
    assert [name for name in sorted(set(links)) if not tab.get(f"!!document.getElementById({name!r})")] == []


def test_the_type_of_an_error_is_the_address_of_its_description(tab: Page, service: Running) -> None:
    kind = service.post(n=-1).json()["type"]
    open_docs(tab, service, kind.removeprefix("/docs"))
    assert "A field is out of bounds" in tab.text(":target")


def test_whatever_openapi_has_is_shown(tab: Page) -> None:
    with running() as service:
        service.app.openapi_schema = UNUSUAL
        shown = open_docs(tab, service)
    assert tab.complaints == []
    for text in (
        "What odd does.",
        "PUT /things/{id}",
        "curl -X PUT http",
        "id (required) path integer, at least 3",
        "Needs key or nothing.",
        'Headers: ETag (string) Its state. Example: "e-7".',
        'application/json: Thing or null A thing with it\'s <b> { "id": 5 }',
        "404 No more. Headers: X-Odd application/problem+json: anything gone",
        "gone 404 It is gone. Forget it.",
        "key http bearer A key.",
        'X-Odd "very" or "not" How odd.',
        "id (required) integer, above 0 Example: 5. Example: 6.",
        'kind "thing"',
        "either string, at most 3 characters or array of number",
        "both Name and anything",
        "map object of Name",
        'nullable string or null Default: "x".',
        "anything anything",
        "string (name), 1 to 9 characters, matching [a-z]+",
    ):
        assert text in shown, (text, shown)


def test_a_description_that_cannot_be_read_is_told(tab: Page) -> None:
    with running() as service:
        service.app.openapi_schema = {"paths": None}
        open_docs(tab, service)
        assert "openapi.json cannot be read" in tab.text("#error")
