"""docs/many.md: every command is one that the programs it names would take, and every file is there."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from torch.distributed.run import get_args_parser

import charwgan
from training.layering import flatten
from training.plan import plan
from training.sweep import study
from training.sweep.search import parse_search

ROOT = Path(charwgan.__file__).parent
TEXT = (ROOT / "docs" / "many.md").read_text(encoding="utf-8")
BLOCKS = [re.sub("(?m)^    ", "", block) for block in re.findall(r"(?:(?<=\n\n)|(?<=\A))((?:    .+\n)+)", TEXT)]
PROGRAMS = ("torchrun", "charwgan", "python", "sbatch", "RANKS=2", "docker", "kubectl", "pip")
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.split()[0] in PROGRAMS]


def taken(command: click.Command, arguments: list[str]) -> None:
    """Parse a command line of ours as it would be, without running it."""
    command.make_context("command", arguments)


def check_torchrun(words: list[str]) -> None:
    """Both parts: torchrun's own, and what it starts."""
    asked = get_args_parser().parse_args(words)
    if asked.no_python:
        assert asked.training_script == "charwgan"
        check_charwgan(asked.training_script_args)
    else:
        assert (asked.module, asked.training_script) == (True, "training")
        taken(importlib.import_module("training.__main__").train, asked.training_script_args)


def check_charwgan(words: list[str]) -> None:
    taken(charwgan.cli.commands[words[0]], words[1:])
    for place, word in enumerate(words):
        if word == "--search":
            parse_search(words[place + 1])


def check_python(words: list[str]) -> None:
    assert words[0] == "-m"
    taken(importlib.import_module(words[1]).train, words[2:])


def check_sbatch(words: list[str]) -> None:
    script = next(word for word in words if not word.startswith("--"))
    assert (ROOT / script).is_file()
    assert len(words) - words.index(script) == 3, "a job file and the folder of its run"


def check_docker(words: list[str]) -> None:
    assert f" AS {words[words.index('--target') + 1]}\n" in (ROOT / "Dockerfile").read_text()
    assert words[words.index("-t") + 1] in (ROOT / "deploy" / "kubernetes" / "training-job.yaml").read_text()


def check_kubectl(words: list[str]) -> None:
    files = [word for word in words if word.endswith(".yaml")]
    assert words[0] == "logs" or files
    assert all((ROOT / file).is_file() for file in files)


def check_pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(words[1].strip(".[]").split(",")) <= set(extras)


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "torchrun": check_torchrun,
    "charwgan": check_charwgan,
    "python": check_python,
    "sbatch": check_sbatch,
    "docker": check_docker,
    "kubectl": check_kubectl,
    "pip": check_pip,
}


def test_every_block_is_commands_or_a_job_file_or_the_formula() -> None:
    others = [block for block in BLOCKS if not any(line in COMMANDS for line in block.splitlines())]
    job, formula = others
    assert plan({"file": dict(flatten(tomllib.loads(job)))})[0].batch_size == 256
    assert formula.startswith("max(0, JS-4 - real's)")
    assert len(COMMANDS) == sum(len(block.splitlines()) for block in BLOCKS if block not in others)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_taken(command: str) -> None:
    assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0
    words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z]+=\w+", word)]
    CHECKS[words[0]](words[1:])


def test_it_says_when_a_trial_is_given_up_as_it_is() -> None:
    said = " ".join(TEXT.split())
    assert study.STEPS == 20
    assert "the same twentieth of the budget" in said
    assert f"not before {study.WARM_UP / study.STEPS:.0%}".replace("%", " %") in said
    assert study.STARTED == 5
    assert "after five of them are finished" in said
    assert study.WORST == 75
    assert study.FAILURES == 3
