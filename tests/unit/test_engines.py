"""Every engine makes string i of a seed the same in any batch, and says what it lacks."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import torch_engine
from model.alphabet import UNKNOWN, Alphabet
from model.artifact import Artifact, write_artifact
from model.decoding import Decoding
from model.engines import ENGINES, INT8_GRAPH, Int8Sampler, open_engine
from model.errors import ArtifactError, ConfigurationError, MissingDependencyError
from model.sampler import SLICE, Part, Sampler
from model.text import Critic, Generator
from model.torch_engine import Captured, TorchSampler, agreeing
from training.configuration import resolve
from training.export import model_files, summarize

TEXTS = ["", "a", "zebra", "abcdefgh", "x?y", "qqqqqqqqqqqq", "e\u0301a"] * 50
BATCHES = (1, 3, 64)

on_a_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a graph in integers, of random weights, whose likeliest symbol is now and then the unknown one."""
    torch.manual_seed(3)
    alphabet = Alphabet("abcdefghijklmnopqrstuvwxyz", 8)
    keys = {"data.sources": ["letters.txt"], "data.max_length": 8, "model.width": 16, "model.depth": 2}
    config, _ = resolve({"test": {**keys, "model.latent": 16}}, preset="tiny")
    shape = {"length": 8, "size": alphabet.size, "width": 16, "depth": 2, "kernel": 3}
    generator, critic = Generator(**shape, latent=16).eval(), Critic(**shape).eval()
    torch.nn.init.normal_(generator.output.weight, std=2.0)
    summary = summarize(config, alphabet, {"train": 90, "held_out": 10, "digest": "0" * 64}, 0, 0.0)
    path = tmp_path_factory.mktemp("models") / "letters"
    write_artifact(path, model_files("letters", alphabet, generator, critic, summary, {}, int8_samples=400))
    return path


@pytest.fixture(scope="module")
def artifact(model: Path) -> Artifact:
    return Artifact.load(model)


@pytest.fixture(scope="module")
def onnx(artifact: Artifact) -> Sampler:
    return Sampler(artifact, 1)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, artifact: Artifact) -> Sampler:
    return open_engine(request.param)(artifact, 1)


def parts_of(n: int) -> list[Part]:
    """Rows drawn and masked, beside rows that are not; the second lies in two runs if n is more than a slice."""
    mask = np.ones((8, 28), dtype=np.bool_)
    mask[0] = False
    mask[0, 2] = True
    return [
        Part(1, 4, 11, 5, Decoding(temperature=1.0)),
        Part(n // 3, n - 2, 12, 0, Decoding(temperature=0.7, mask=mask)),
    ]


def test_an_engine_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="engine must be one of onnx, onnx-int8, torch, got 'tensorrt'"):
        open_engine("tensorrt")


def test_the_names_of_the_engines_are_those_of_the_settings() -> None:
    from service.settings import Settings

    assert Settings.model_json_schema()["properties"]["engine"]["enum"] == list(ENGINES)


def test_a_string_does_not_depend_on_the_batch(engine: Sampler) -> None:
    latents = engine.latents(7, 0, 600)
    strings = engine.texts(latents)
    assert len(set(strings)) > 300
    for size in BATCHES:
        rows = range(0, 3 * 64 if size < 64 else 600, size)
        alone = [text for start in rows for text in engine.texts(latents[start : start + size])]
        assert alone == strings[: len(alone)]
        assert engine.texts(np.flip(latents[:size], axis=0)) == strings[:size][::-1]


def test_what_is_drawn_does_not_depend_on_the_batch(engine: Sampler) -> None:
    latents = engine.latents(7, 0, 600)
    parts = parts_of(600)
    together = engine.texts(latents, parts)
    assert together[:1] + together[4:200] == engine.texts(latents[:1]) + engine.texts(latents[4:200])
    assert together[1:4] == engine.texts(latents[1:4], [Part(0, 3, 11, 5, parts[0].decoding)])
    assert together[300:301] == engine.texts(latents[300:301], [Part(0, 1, 12, 100, parts[1].decoding)])
    assert all(text[0] == "a" for text in together[200:598])


def test_the_unknown_symbol_is_never_chosen(engine: Sampler) -> None:
    latents = engine.latents(5, 0, 1000)
    assert (engine.logits(latents).argmax(axis=2) == UNKNOWN).any()
    assert not (engine.ids(latents, parts_of(1000)) == UNKNOWN).any()


def test_a_healthy_network_warms_up(engine: Sampler) -> None:
    engine.warm_up()


def test_logits_are_nearly_those_of_fp32(engine: Sampler, onnx: Sampler) -> None:
    latents = onnx.latents(2, 0, 300)
    expected = onnx.logits(latents)
    difference = engine.logits(latents) - expected
    assert difference.dtype == np.float32
    assert np.sqrt(np.mean(difference**2)) < 0.02 * np.std(expected)


def test_scores_are_those_of_the_critic_in_any_batch(engine: Sampler, onnx: Sampler) -> None:
    scores = engine.scores(TEXTS)
    assert len(TEXTS) > SLICE
    assert (scores.shape, scores.dtype) == ((len(TEXTS),), np.float32)
    assert np.allclose(scores, onnx.scores(TEXTS), atol=1e-2 if torch.cuda.is_available() else 1e-4)
    assert np.allclose(scores[:7], [engine.scores([text])[0] for text in TEXTS[:7]], atol=1e-5)
    assert engine.scores([]).shape == (0,)


def test_a_stream_is_of_the_same_strings(engine: Sampler) -> None:
    strings = [text for part in engine.stream(9, 3, SLICE + 10) for text in part]
    assert strings == engine.texts(engine.latents(9, 3, SLICE + 10))


# The engine onnx-int8.


def test_the_measured_share_of_changed_strings_is_that_of_the_engine(artifact: Artifact, onnx: Sampler) -> None:
    latents = onnx.latents(0, 0, 400)
    pairs = zip(onnx.texts(latents), Int8Sampler(artifact, 1).texts(latents), strict=True)
    changed = np.mean([a != b for a, b in pairs])
    assert artifact.config["int8"]["changed"] == changed
    assert 0 < changed < 0.5


def test_a_model_without_the_graph_says_how_to_make_it(tiny_model: Path) -> None:
    with pytest.raises(ArtifactError, match=r"has no generator\.int8\.onnx: make one with `charwgan export RUN --out"):
        open_engine("onnx-int8")(Artifact.load(tiny_model), 1)


def test_a_damaged_graph_in_integers_is_noticed(model: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(model, tmp_path / "letters")
    data = bytearray((copy / INT8_GRAPH).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / INT8_GRAPH).write_bytes(data)
    with pytest.raises(ArtifactError, match=r"generator\.int8\.onnx is damaged"):
        Artifact.load(copy)


def test_an_error_at_the_warm_up_names_the_graph_in_integers(artifact: Artifact) -> None:
    longer = replace(artifact, alphabet=Alphabet("ab", 9))
    with pytest.raises(ArtifactError, match=r"generator\.int8\.onnx must give finite logits \(2, 9, 4\)"):
        Int8Sampler(longer, 1).warm_up()


# The engine torch.


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


def test_naming_the_engines_imports_no_torch() -> None:
    opened = "e.open_engine('onnx'), e.open_engine('onnx-int8')"
    program = f"import sys, model.engines as e; {opened}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"


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
