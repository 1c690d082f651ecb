"""What the images hold, read from the Dockerfile: no engine is needed to claim that serving is without torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, as (name, arguments)."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8")).replace("\\\n", " ")
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, arguments = line.partition(" ")
        if name == "FROM":
            current = found.setdefault(arguments.split(" AS ")[1], [])
        current.append((name, arguments.strip()))
    return found


def ancestry(stage: str) -> list[tuple[str, str]]:
    """The instructions that a stage is made by: its own, and those of the stages it starts or copies from."""
    own = stages()[stage]
    named = {arguments.split(" AS ")[0] for name, arguments in own if name == "FROM"}
    named |= {match for _, arguments in own for match in re.findall(r"--from=(\S+)", arguments)}
    return own + [step for other in sorted(named & set(stages())) for step in ancestry(other)]


def last(stage: str, name: str) -> str:
    return [arguments for instruction, arguments in stages()[stage] if instruction == name][-1]


def test_the_image_that_serves_never_names_torch_or_the_extra_train() -> None:
    everything = " ".join(arguments for _, arguments in ancestry("serve"))
    assert "torch" not in everything
    assert "[train]" not in everything
    assert "[train]" in " ".join(arguments for _, arguments in ancestry("train"))


def test_neither_image_runs_as_root() -> None:
    assert int(last("serve", "USER")) > 0
    assert int(last("train", "USER")) > 0


def test_what_is_installed_is_pinned() -> None:
    for stage in ("serve", "train"):
        installs = [arguments for _, arguments in ancestry(stage) if "pip install" in arguments]
        assert installs
        assert all("--constraint constraints.txt" in arguments for arguments in installs)


def test_the_image_that_serves_is_the_default_and_looks_after_its_health() -> None:
    assert list(stages())[-1] == "serve"
    assert "/readyz" in last("serve", "HEALTHCHECK")
    assert json.loads(last("serve", "ENTRYPOINT")) == ["charwgan"]
    assert json.loads(last("serve", "CMD")) == ["serve", "--model", "/model", "--host", "0.0.0.0"]
    check = json.loads(last("serve", "HEALTHCHECK").partition("CMD ")[2])
    compile(check[2], "healthcheck", "exec")


def test_only_what_is_copied_from_the_source_is_let_into_the_build() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    assert {"pyproject.toml", "constraints.txt", "charwgan.py", "model", "service", "training"} <= set(kept)
    assert not {"tests", ".git", ".venv"} & set(kept)
