"""Train a job file: ``torchrun --nproc-per-node K -m training job.toml``, or ``python -m training job.toml`` alone.

Options of ours stand behind two dashes, ``-m -- training job.toml --run r``: torchrun takes ``--run`` for its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from model.command import run as run_command
from training import entry


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set any key; may be repeated.")
@click.option("--run", type=click.Path(path_type=Path, file_okay=False), help="The folder of the run.")
@click.option("--resume", is_flag=True, help="Continue the run in that folder.")
@click.option("--allow-changes", is_flag=True, help="Continue although the configuration differs.")
def train(job: Path, assignments: tuple[str, ...], run: Path | None, resume: bool, allow_changes: bool) -> None:
    """Train JOB, a TOML file, as `charwgan train --config JOB` does; under torchrun as one of its ranks."""
    began = run if resume else None
    layers = entry.layers_of(data=(), run=began, environment=os.environ, assignments=assignments, config=job)
    if code := entry.conclude(entry.train(layers, run, resume=resume, allow_changes=allow_changes)):
        sys.exit(code)


if __name__ == "__main__":
    run_command(train, "python -m training")
