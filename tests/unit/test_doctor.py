"""The doctor: it looks for what the distribution says it needs, and for nothing that it keeps a list of itself."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from training import doctor
from training.doctor import examine, requirements

ROOT = Path(__file__).parents[2]
LINES = [
    "click>=8.2",
    "zope.interface (>=1) ; python_version > '3'",
    'torch>=2.9; extra == "train"',
    "httpx ; extra == 'client'",
]


def test_requirements_are_read_with_their_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: LINES)
    assert requirements() == [("click", ""), ("zope.interface", ""), ("torch", "train"), ("httpx", "client")]


def test_everything_that_serving_and_training_need_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(f'{line}; extra == "train"' for line in project["optional-dependencies"]["train"]),
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    names = {finding.name for finding in examine()}
    assert {"click", "httptools", "uvloop", "onnxruntime", "tensorboardX", "scikit-learn", "torch"} <= names


def test_a_missing_package_is_told_with_what_to_do_and_one_of_training_is_optional(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "requirements", lambda: [("no-such-thing", ""), ("nor-this", "train"), ("x", "hf")])
    findings = {finding.name: finding for finding in examine()}
    assert findings["no-such-thing"].detail == "pip install no-such-thing"
    assert not findings["no-such-thing"].optional
    assert findings["nor-this"].optional
    assert "pip install '.[train]'" in findings["nor-this"].detail
    assert "x" not in findings


def test_what_is_not_installed_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISTRIBUTION", "charwgan-that-nobody-installed")
    (finding,) = [finding for finding in examine() if finding.name.startswith("charwgan")]
    assert (finding.good, "pip install ." in finding.detail) == (False, True)
