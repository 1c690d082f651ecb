"""The options that give settings of the service, for the verbs that take them; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Callable

import click

from model.command import FILE, FOLDER


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Every flag, None where it is not given, and the texts of --set as ``assignments``."""
    for option in (
        click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any setting; may be repeated."),
        click.option("--config", type=FILE, help="A TOML file of settings; `charwgan config show` prints them all."),
        click.option(
            "--insecure", is_flag=True, default=None, help="Listen beyond this machine although there are no keys."
        ),
        click.option("--keys-file", type=FILE, help="Hashed keys, one a line, of who may ask; see `charwgan keys`."),
        click.option("--threads", type=click.IntRange(1), help="CPU threads of the network."),
        click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 8000]"),
        click.option("--host", help="Address to listen on.  [default: 127.0.0.1]"),
        click.option("--models", type=FOLDER, help="A folder of model folders, each served by its name."),
        click.option("--model", type=FOLDER, help="A model folder; with --models, the default one's name."),
    ):
        command = option(command)
    return command
