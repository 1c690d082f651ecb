"""What a distribution holds: the three packages, and nothing of a user's that lies beside them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("pyproject.toml", "charwgan.py", "README.md", "LICENSE", "model", "training", "service")
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def test_a_users_models_and_runs_are_not_in_the_wheel(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in COPIED:
        path = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(path, source / name, ignore=ignore) if path.is_dir() else shutil.copy(path, source / name)
    for mine in (
        "models/demo/notes.py",
        "models/__init__.py",
        "modelling/mine.py",
        "training_data/mine.py",
        "runs/a.py",
    ):
        (source / mine).parent.mkdir(parents=True, exist_ok=True)
        (source / mine).write_text("secret = 1\n")
    build = [sys.executable, "-c", BUILD, str(tmp_path)]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"charwgan.py", "model", "training", "service"}
    modules = {
        str(path.relative_to(ROOT)) for top in ("model", "training", "service") for path in (ROOT / top).rglob("*.py")
    }
    assert modules <= set(names)


def test_the_rule_against_torch_is_of_whole_packages_with_its_exceptions_by_name() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (rule,) = [rule for rule in rules if rule.get("forbidden_modules") == ["torch"]]
    assert rule["source_modules"] == ["model", "service"]
    assert rule["ignore_imports"] == [
        f"model.{name} -> torch" for name in ("blocks", "branches", "text", "torch_engine")
    ]


def test_the_example_that_trains_in_a_container_keeps_its_run_outside() -> None:
    head = (ROOT / "Dockerfile").read_text(encoding="utf-8").partition("ARG")[0]
    example = head[head.index("charwgan:train \\") :]
    assert "train /data/names.txt --run /data/runs/" in example


def test_the_benchmark_of_quality_says_that_the_papers_side_has_a_width_of_its_own() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "quality.py"), "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "that width is\nnot the preset's" in told
    assert "at the\nwidth of the preset" not in told


def test_the_benchmark_of_the_data_prints_every_speed() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "data.py"), "--lines", "5000"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = ["encoding", "the tokenizer", "ratio", "preparing", "opening again", "table of 3000", "--help"]
    assert [line[:20].strip() for line in told.splitlines()] == rows
