"""The verbs that serve, and those around it; nothing heavy is imported before one of them needs it."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from service.options import settings_options


@click.command()
@settings_options
def serve(assignments: tuple[str, ...], **flags: Any) -> None:
    """Serve models over HTTP until interrupted."""
    from service.server import serve as serve_forever
    from service.settings_sources import parse_assignments, resolve

    serve_forever(resolve(flags | parse_assignments(assignments), os.environ))


@click.group()
def keys() -> None:
    """Who may ask the service."""


@keys.command()
@click.argument("name")
def new(name: str) -> None:
    """Draw a key for NAME: the key to standard error, once, and its line for the file of keys to standard output."""
    from service.security import issue

    key, line = issue(name)
    click.echo(f"key {key}", err=True)
    click.echo(line)


@click.group()
def config() -> None:
    """How the service is configured."""


@config.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool, assignments: tuple[str, ...], **flags: Any) -> None:
    """Print every setting of the service, its value and origin, as `serve` would have them; secrets are masked."""
    from service.settings_listing import listing, passed_over, to_text
    from service.settings_sources import parse_assignments

    rows = listing(flags | parse_assignments(assignments), os.environ)
    click.echo(json.dumps(rows, ensure_ascii=False, indent=2) if as_json else to_text(rows))
    if names := passed_over(os.environ):
        click.echo(f"passed over, for they are no settings of the service: {', '.join(names)}", err=True)
