"""The wheel in a clean environment: a machine that only serves has no torch and serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest

import charwgan

ROOT = Path(charwgan.__file__).parent


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel and what it needs, nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True, text=True)
    venv.create(folder / "venv", with_pip=True)
    (wheel,) = folder.glob("*.whl")
    install = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True, capture_output=True, text=True)
    return folder / "venv" / "bin"


def call(environment: Path, cwd: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CHARWGAN"))}
    command = [str(environment / "charwgan"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)


@pytest.mark.timeout(900)
def test_without_torch_it_generates_scores_and_says_what_training_needs(
    environment: Path, tiny_model: Path, tmp_path: Path
) -> None:
    probe = subprocess.run([environment / "python", "-c", "import torch"], capture_output=True, check=False)
    assert probe.returncode != 0, "torch came along"
    generated = call(environment, tmp_path, "generate", "--model", tiny_model, "-n", "3", "--seed", "1")
    assert (generated.returncode, len(generated.stdout.splitlines())) == (0, 3), generated.stderr
    shipped = call(environment, tmp_path, "generate", "-n", "3", "--seed", "1", "--label", "it_IT")
    assert (shipped.returncode, len(shipped.stdout.splitlines())) == (0, 3), shipped.stderr
    refused = call(environment, tmp_path, "train", "builtin:names")
    assert refused.returncode == 1
    assert "pip install '.[train]'" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert call(environment, tmp_path, "doctor").returncode == 0


@pytest.mark.timeout(900)
def test_without_torch_it_serves_the_strings_that_it_generates(
    environment: Path, tiny_model: Path, tmp_path: Path
) -> None:
    generated = call(environment, tmp_path, "generate", "--model", tiny_model, "-n", "5", "--seed", "7")
    command = [environment / "charwgan", "serve", "--model", tiny_model, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        try:
            assert server.stderr is not None
            address = server.stderr.readline().split()[-1]
            body = json.dumps({"n": 5, "seed": 7}).encode()
            headers = {"content-type": "application/json"}
            request = urllib.request.Request(f"{address}/v1/generate", body, headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert json.load(answer)["texts"] == generated.stdout.splitlines()
        finally:
            server.terminate()
        assert server.wait(60) == 0
