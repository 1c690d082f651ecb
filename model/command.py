"""A command line around its verbs: every error that a user can cause is one line, and exit codes say what it was."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from model.errors import CharwganError
from model.terminal import give_up_output, prepare_output

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path)
SEED_RANGE = click.IntRange(0, 2**53 - 1)  # what every JSON reader keeps exact


class Interrupted(click.ClickException):
    """Ctrl-C where nothing was there to be saved."""

    exit_code = 128 + signal.SIGINT


class Verbs(click.Group):
    """A group of verbs; an interruption is one line, and not the empty one that click writes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None


def run(command: click.Command, name: str) -> NoReturn:
    """Run a command, or the verb of a group that the arguments name, and exit: 2 for wrong use, 1 for other errors."""
    try:
        prepare_output()
        code = _run(command, name)
        sys.stdout.flush()
    except OSError as error:
        what = f"cannot use {error.filename}" if error.filename else "cannot write the output"
        click.echo(f"{name}: {what}: {error.strerror or error}", err=True)
        give_up_output()
        code = 1
    sys.exit(code)


def _run(command: click.Command, name: str) -> int:
    try:
        return int(command.main(prog_name=name, standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else str(error))
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        return _told(context.command_path if context else name, error.format_message(), error.exit_code)
    except CharwganError as error:
        return _told(name, str(error), error.exit_code)
    except click.Abort:
        return _told(name, "interrupted", Interrupted.exit_code)


def _told(who: str, message: str, code: int) -> int:
    click.echo(f"{who}: {' '.join(message.split())}", err=True)
    return code
