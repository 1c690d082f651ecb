"""A model in the place of another: whenever the process is killed, a whole model is there, and nothing is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from model_files import contents

from model import exchange
from model.artifact import Artifact, write_artifact
from model.errors import ArtifactError

ROOT = Path(__file__).parents[2]
# Writes a model over another and is killed at its nth change of a name.
KILLED = """
import os, signal, sys
from pathlib import Path
from model_files import contents
from model import exchange
from model.artifact import write_artifact

path, at, exchanging = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "exchange"
steps = 0

def counted(call):
    def step(*arguments, **options):
        global steps
        steps += 1
        if steps == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return step

Path.rename = counted(Path.rename)
exchange.exchange = counted(exchange.exchange) if exchanging else lambda one, other: False
real_rmtree = exchange.shutil.rmtree
exchange.shutil.rmtree = counted(real_rmtree)
write_artifact(path, contents(**{"README.md": b"new"}), replace=True)
print("done")
"""


def replace_and_die(path: Path, at: int, how: str) -> int:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", KILLED, str(path), str(at), how]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "names"
    write_artifact(path, contents(**{"README.md": b"old"}))
    return path


@pytest.mark.parametrize("at", [1, 2])
def test_a_kill_at_any_change_of_a_name_leaves_a_whole_model(model: Path, at: int) -> None:
    assert replace_and_die(model, at, "exchange") == -signal.SIGKILL
    assert Artifact.load(model).path == model
    assert (model / "README.md").read_bytes() == (b"old" if at == 1 else b"new")
    assert len(list(model.parent.iterdir())) == 2
    write_artifact(model, contents(**{"README.md": b"newer"}), replace=True)
    assert [path.name for path in model.parent.iterdir()] == ["names"]
    assert replace_and_die(model, 3, "exchange") == 0


@pytest.mark.parametrize("at", [1, 2, 3])
def test_where_names_cannot_be_exchanged_the_next_export_puts_things_right(model: Path, at: int) -> None:
    assert replace_and_die(model, at, "two renames") == -signal.SIGKILL
    write_artifact(model, contents(**{"README.md": b"newer"}), replace=True)
    assert (model / "README.md").read_bytes() == b"newer"
    assert [path.name for path in model.parent.iterdir()] == ["names"]


def test_a_model_that_a_kill_left_aside_is_brought_back_before_anything_else(model: Path) -> None:
    assert replace_and_die(model, 2, "two renames") == -signal.SIGKILL
    assert not model.exists()
    with pytest.raises(ArtifactError, match="exists already"):
        write_artifact(model, contents())
    assert (model / "README.md").read_bytes() == b"old"


def test_the_workplace_of_a_living_process_is_left_alone(model: Path) -> None:
    with exchange.workplace(model) as mine:
        write_artifact(model, contents(**{"README.md": b"new"}), replace=True)
        assert mine.is_dir()
    assert [path.name for path in model.parent.iterdir()] == ["names"]


@pytest.mark.parametrize("name", [".names.backup", ".names", ".other.abcd.exchange"])
def test_a_hidden_folder_of_somebody_else_is_left_alone(model: Path, name: str) -> None:
    (model.parent / name).mkdir()
    write_artifact(model, contents(), replace=True)
    assert (model.parent / name).is_dir()


def test_exchanging_swaps_two_folders_and_says_so(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange.exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange names")
    assert (tmp_path / "a" / "b").exists()
    assert (tmp_path / "b" / "a").exists()
    with pytest.raises(OSError, match="No such file"):
        exchange.exchange(tmp_path / "a", tmp_path / "missing")
