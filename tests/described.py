"""A description of the service as tests read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def followed(document: dict[str, Any]) -> dict[str, Any]:
    """The description with every reference followed but those to schemas."""

    def follow(node: Any) -> Any:
        if isinstance(node, list):
            return [follow(item) for item in node]
        if not isinstance(node, dict):
            return node
        place = node.get("$ref", "#/components/schemas/")
        if isinstance(place, str) and not place.startswith("#/components/schemas/"):
            _, _, kind, name = place.split("/")
            return follow(document["components"][kind][name])
        return {key: follow(value) for key, value in node.items()}

    return {**document, "paths": follow(document["paths"])}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of every operation, references followed."""
    for path, methods in followed(document)["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation
