"""Every engine makes string i of a seed the same in any batch, and says what it lacks."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_cases import TEXTS, parts_of

from model.alphabet import UNKNOWN, Alphabet
from model.artifact import Artifact
from model.engines import ENGINES, INT8_GRAPH, Int8Sampler, open_engine
from model.errors import ArtifactError, ConfigurationError
from model.sampler import SLICE, Part, Sampler

BATCHES = (1, 3, 64)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, artifact: Artifact) -> Sampler:
    return open_engine(request.param)(artifact, 1)


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


def test_the_warm_up_runs_both_networks_and_keeps_no_critic(engine: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, tuple[int, ...]]] = []

    def watch(name: str) -> None:
        method = getattr(engine, name)

        def watched(*arguments: object) -> object:
            result = method(*arguments)
            ran.append((name, result.shape))
            return result

        monkeypatch.setattr(engine, name, watched)

    watch("logits")
    watch("scores")
    engine.warm_up()
    alphabet = engine.artifact.alphabet
    assert ran == [("logits", (2, alphabet.length, alphabet.size)), ("scores", (2,))]
    assert "_scorer" not in vars(engine)


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
    with pytest.raises(ArtifactError, match=r"generator\.int8\.onnx must give finite numbers \(2, 9, 4\)"):
        Int8Sampler(longer, 1).warm_up()


def test_naming_the_engines_imports_no_torch() -> None:
    opened = "e.open_engine('onnx'), e.open_engine('onnx-int8')"
    program = f"import sys, model.engines as e; {opened}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"
