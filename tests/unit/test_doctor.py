"""The doctor: it looks for what the distribution says it needs, and for nothing that it keeps a list of itself."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from training import doctor
from training.arithmetic import bf16_instructions
from training.doctor import Finding, examine, requirements

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


def found() -> dict[str, Finding]:
    return {finding.name: finding for finding in examine()}


@pytest.mark.parametrize("name", ["amx_bf16", "avx512_bf16"])
def test_a_processor_with_bf16_is_told_to_use_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, name: True})
    bf16 = found()["bf16"]
    assert (bf16.good, bf16.detail.partition(":")[0]) == (True, name)


@pytest.mark.parametrize("able", [{}, {"avx2": True, "avx512_f": True, "avx512_bf16": False}])
def test_a_processor_without_bf16_is_told_not_to(monkeypatch: pytest.MonkeyPatch, able: dict[str, bool]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    bf16 = found()["bf16"]
    assert not bf16.good
    assert bf16.optional
    assert "precision = fp32" in bf16.detail


def test_a_torch_that_cannot_say_has_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert bf16_instructions(torch.device("cpu")) is None


@pytest.mark.parametrize(("threads", "text"), [(1, "on 1 thread"), (3, "on 3 threads")])
def test_the_cpus_path_and_its_threads_are_told(monkeypatch: pytest.MonkeyPatch, threads: int, text: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert found()["rounds"].detail.endswith(text)
    assert not found()["cuda"].good


@pytest.mark.parametrize("bf16", [True, False])
def test_a_gpus_path_is_told(monkeypatch: pytest.MonkeyPatch, bf16: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    findings = found()
    assert findings["cuda"].detail == "a GPU"
    assert "CUDA graph" in findings["rounds"].detail
    assert findings["bf16"].good == bf16


def test_without_torch_nothing_is_said_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert not {"cuda", "rounds", "bf16"} & set(found())
