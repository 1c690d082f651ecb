"""The engine torch: on a CPU the strings of onnx, on a GPU the same bits in every batch."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import TEXTS, parts_of
from numpy.typing import NDArray

from model import torch_engine
from model.artifact import Artifact
from model.engines import open_engine
from model.errors import ArtifactError, MissingDependencyError
from model.sampler import SLICE, Sampler
from model.torch_engine import Captured, TorchSampler, agreeing

on_a_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture(scope="module")
def on_the_cpu(artifact: Artifact) -> TorchSampler:
    return TorchSampler(artifact, 1, device="cpu")


def test_torch_on_a_cpu_gives_the_strings_of_onnx(on_the_cpu: TorchSampler, onnx: Sampler) -> None:
    for n in (1, 3, SLICE, 600):
        latents = onnx.latents(4, 0, n)
        parts = parts_of(n) if n > 100 else []
        assert on_the_cpu.texts(latents, parts) == onnx.texts(latents, parts)
        assert np.allclose(on_the_cpu.logits(latents), onnx.logits(latents), atol=1e-4)


def test_no_latents_give_no_strings(on_the_cpu: TorchSampler) -> None:
    assert on_the_cpu.texts(on_the_cpu.latents(0, 0, 0)) == []


def test_latents_that_cannot_be_written_are_taken(on_the_cpu: TorchSampler, onnx: Sampler) -> None:
    latents = onnx.latents(4, 0, 5)
    latents.flags.writeable = False
    assert on_the_cpu.texts(latents) == onnx.texts(latents)


def test_torch_on_a_cpu_says_that_onnx_is_faster(artifact: Artifact, caplog: pytest.LogCaptureFixture) -> None:
    TorchSampler(artifact, 1, device="cpu")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the engine onnx is faster" in caplog.text


def test_a_machine_without_torch_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "model.torch_engine")
    monkeypatch.delattr("model.torch_engine")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "safetensors.torch")
    with pytest.raises(MissingDependencyError, match=r"needs torch, .* pip install '.\[train\]' .*, or use onnx"):
        open_engine("torch")


def test_weights_of_other_networks_are_refused(artifact: Artifact) -> None:
    config = json.loads(json.dumps(artifact.config))
    config["model"]["width"] = 17
    with pytest.raises(ArtifactError, match=r"generator\.safetensors does not fit the networks that config\.json"):
        TorchSampler(replace(artifact, config=config), 1, device="cpu")
    del config["model"]["width"]
    with pytest.raises(ArtifactError, match=r"config\.json does not say model\.width: export the run again"):
        TorchSampler(replace(artifact, config=config), 1, device="cpu")


class Sum:
    """A step whose only logit is the sum of a row's latents, in the order and with the offset that a test gives it.

    offset: of a row by its place in the run.
    """

    def __init__(self, size: int, offset: Callable[[NDArray[np.intp]], NDArray[np.floating]] = np.zeros_like) -> None:
        self.size, self.offset = size, offset

    def run(self, rows: NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
        assert len(rows) <= self.size
        sums = rows.sum(axis=1) + self.offset(np.arange(len(rows)))
        return torch.zeros(len(rows), 1), torch.tensor(sums)


def off_by(value: float) -> Callable[[NDArray[np.intp]], NDArray[np.floating]]:
    return lambda places: np.full(len(places), value)


ROWS = np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32)


def test_sizes_that_agree_with_the_largest_are_used() -> None:
    steps = [Sum(1), Sum(4), Sum(16)]
    assert list(agreeing(steps, ROWS)) == steps


def test_a_size_that_differs_from_the_largest_in_a_bit_is_not_used() -> None:
    steps = [Sum(1, off_by(1e-6)), Sum(4), Sum(16)]
    assert list(agreeing(steps, ROWS)) == steps[1:]
    steps = [Sum(1), Sum(4), Sum(16, off_by(1e-6))]
    assert list(agreeing(steps, ROWS)) == steps[2:]


def test_where_the_place_in_a_run_counts_each_row_is_run_alone(caplog: pytest.LogCaptureFixture) -> None:
    steps = [Sum(1), Sum(4), Sum(16, lambda places: places * 1e-6)]
    assert list(agreeing(steps, ROWS)) == steps[:1]
    assert "a string depends on its place in the batch" in caplog.text


def test_only_one_thread_is_at_the_gpu(on_the_cpu: TorchSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model captures graphs while another answers."""
    inside, most, both = [0], [0], threading.Barrier(4)
    forward = TorchSampler.forward

    def counted(self: TorchSampler, latents: torch.Tensor) -> torch_engine.Symbols:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        try:
            return forward(self, latents)
        finally:
            inside[0] -= 1

    def work() -> None:
        both.wait(10)
        for _ in range(20):
            on_the_cpu.texts(latents)

    monkeypatch.setattr(TorchSampler, "forward", counted)
    latents = on_the_cpu.latents(0, 0, 50)
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert most == [1]


class TestOnAGpu:
    """What only a CUDA device can show; the claims on every engine are made of it there as well."""

    pytestmark = on_a_gpu

    @pytest.fixture(scope="class")
    def gpu(self, artifact: Artifact) -> TorchSampler:
        sampler = TorchSampler(artifact, device="cuda")
        sampler.warm_up()
        return sampler

    def test_runs_are_captured_graphs(self, gpu: TorchSampler) -> None:
        assert all(isinstance(step, Captured) for step in gpu._steps)

    def test_the_largest_size_is_used(self, gpu: TorchSampler) -> None:
        assert gpu._steps[-1].size == torch_engine.SIZES[-1]

    def test_logits_are_the_same_bit_for_bit_in_every_batch(self, gpu: TorchSampler) -> None:
        latents = gpu.latents(7, 0, 600)
        logits = gpu.logits(latents)
        for size in (1, 3, 8, 9, 64, 100, 256, 300):
            assert np.array_equal(gpu.logits(latents[:size]), logits[:size])
            assert np.array_equal(gpu.logits(latents[600 - size :]), logits[600 - size :])

    def test_few_strings_are_not_those_of_fp32(self, gpu: TorchSampler, onnx: Sampler) -> None:
        latents = onnx.latents(7, 0, 1000)
        changed = np.mean([a != b for a, b in zip(gpu.texts(latents), onnx.texts(latents), strict=True)])
        assert 0 < changed < 0.15

    def test_scores_are_the_same_bit_for_bit_in_every_batch(self, gpu: TorchSampler) -> None:
        assert np.array_equal(gpu.scores(TEXTS)[:9], gpu.scores(TEXTS[:9]))

    def test_another_model_is_captured_while_one_answers(self, gpu: TorchSampler, artifact: Artifact) -> None:
        latents, ended = gpu.latents(7, 0, 100), threading.Event()
        expected, found = gpu.texts(latents), []

        def answer() -> None:
            while not ended.is_set():
                found.append(gpu.texts(latents))

        worker = threading.Thread(target=answer)
        worker.start()
        try:
            other = TorchSampler(artifact, device="cuda")
            other.warm_up()
        finally:
            ended.set()
            worker.join(60)
        assert all(texts == expected for texts in found)
        assert other.texts(latents) == expected

    def test_no_device_no_warning(self, artifact: Artifact, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            TorchSampler(artifact, device="cuda")
        assert caplog.records == []
