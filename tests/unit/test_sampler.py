"""Strings from a model: a function of (model, seed, index) alone, and no torch behind them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model import text
from model.alphabet import UNKNOWN, Alphabet
from model.artifact import Artifact
from model.decoding import Decoding
from model.errors import ArtifactError
from model.sampler import SLICE, Part, Sampler, Scorer
from model.threads import Workers

SHAPE = {"length": 8, "size": 28, "width": 8, "depth": 1, "kernel": 3}


@pytest.fixture(scope="module")
def sampler(tiny_model: Path) -> Sampler:
    return Sampler(Artifact.load(tiny_model), threads=1)


@pytest.fixture(scope="module")
def scorer(tiny_model: Path) -> Scorer:
    return Scorer(Artifact.load(tiny_model), Workers(1))


@pytest.fixture(scope="module")
def strings(sampler: Sampler) -> list[str]:
    """The first strings of seed 5, from one run of the network."""
    return sampler.texts(sampler.latents(5, 0, 600))


def test_string_i_is_the_same_in_any_slice(sampler: Sampler, strings: list[str]) -> None:
    for first, n in [(0, 1), (1, 1), (3, 7), (250, 13), (255, 2), (599, 1), (300, 256)]:
        assert sampler.texts(sampler.latents(5, first, n)) == strings[first : first + n]


@pytest.mark.parametrize(("first", "n"), [(0, 600), (1, 599), (200, SLICE), (200, SLICE + 1), (599, 1)])
def test_a_stream_gives_the_same_strings_in_slices(sampler: Sampler, strings: list[str], first: int, n: int) -> None:
    slices = list(sampler.stream(5, first, n))
    assert [text for part in slices for text in part] == strings[first : first + n]
    assert all(len(part) == SLICE for part in slices[:-1])


def test_a_stream_of_nothing_is_empty(sampler: Sampler) -> None:
    assert list(sampler.stream(5, 0, 0)) == []


def test_another_seed_gives_other_strings(sampler: Sampler, strings: list[str]) -> None:
    assert len(set(strings)) > 300
    assert sampler.texts(sampler.latents(6, 0, 20)) != strings[:20]


def test_strings_are_of_the_alphabet_and_not_longer_than_its_length(sampler: Sampler, strings: list[str]) -> None:
    alphabet = sampler.artifact.alphabet
    assert set("".join(strings)) <= set(alphabet.characters)
    assert max(map(len, strings)) <= alphabet.length


def test_the_unknown_symbol_never_appears_even_where_it_is_likeliest(sampler: Sampler) -> None:
    latents = sampler.latents(5, 0, 2000)
    assert (sampler.logits(latents).argmax(axis=2) == UNKNOWN).any()
    assert not (sampler.ids(latents) == UNKNOWN).any()


def test_the_likeliest_other_symbol_stands_in_for_the_unknown_one(sampler: Sampler) -> None:
    latents = sampler.latents(5, 0, 200)
    known = np.delete(np.arange(28), UNKNOWN)
    expected = known[sampler.logits(latents)[:, :, known].argmax(axis=2)]
    assert np.array_equal(sampler.ids(latents), expected)


def test_logits_equal_the_torch_generator(sampler: Sampler, tiny_model: Path) -> None:
    generator = text.Generator(**SHAPE, latent=16)
    generator.load_state_dict(load_file(tiny_model / "generator.safetensors"))
    latents = sampler.latents(1, 0, 50)
    with torch.no_grad():
        expected = generator.logits(torch.from_numpy(latents)).numpy()
    assert np.allclose(sampler.logits(latents), expected, atol=1e-4)


def test_scores_equal_the_torch_critic(scorer: Scorer, tiny_model: Path) -> None:
    critic = text.Critic(**SHAPE)
    critic.load_state_dict(load_file(tiny_model / "critic.safetensors"))
    texts = ["", "a", "zebra", "abcdefgh", "x?y", "qqqqqqqq"] * 60
    ids = torch.from_numpy(scorer.artifact.alphabet.encode(texts).astype(np.int64))
    with torch.no_grad():
        expected = critic(torch.nn.functional.one_hot(ids, 28).float()).numpy()
    scores = scorer.scores(texts)
    assert scores.shape == (len(texts),)
    assert scores.dtype == np.float32
    assert np.allclose(scores, expected, atol=1e-4)
    # More texts than a slice holds: none is lost or moved where two slices meet.
    assert len(texts) > SLICE
    assert np.allclose(scores[:6], scores[-6:], atol=1e-5)


def test_a_text_is_scored_in_nfc_and_cut_at_the_length(scorer: Scorer) -> None:
    long, cut = scorer.scores(["abcdefghijkl", "abcdefgh"])
    assert long == pytest.approx(cut, abs=1e-5)
    decomposed, composed = scorer.scores(["e\u0301a", "\u00e9a"])
    assert decomposed == pytest.approx(composed, abs=1e-5)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_that_share_a_batch_change_nothing(tiny_model: Path, sampler: Sampler, threads: int) -> None:
    shared, latents = Sampler(Artifact.load(tiny_model), threads), sampler.latents(5, 0, 64)
    parts = [Part(3, 40, 5, 3, Decoding(1.5))]
    for n in (1, 2, 5, 64):
        rows = latents[:n]
        assert (shared.logits(rows).view(np.uint32) == sampler.logits(rows).view(np.uint32)).all()
        assert shared.texts(rows) == sampler.texts(rows)
    assert shared.texts(latents, parts) == sampler.texts(latents, parts)
    texts = sampler.texts(latents)
    assert (shared.scores(texts) == sampler.scores(texts)).all()


def test_no_texts_have_no_scores(scorer: Scorer) -> None:
    assert scorer.scores([]).shape == (0,)


def test_a_graph_of_another_model_is_refused_at_the_warm_up(tiny_model: Path, sampler: Sampler) -> None:
    artifact = Artifact.load(tiny_model)
    other = replace(artifact, config={"model": {"latent": 17}})
    with pytest.raises(ArtifactError, match=r"generator\.onnx does not run"):
        Sampler(other, threads=1).warm_up()
    longer = replace(artifact, alphabet=Alphabet("ab", 9))
    with pytest.raises(ArtifactError, match=r"must give finite numbers \(2, 9, 4\), got \(2, 8, 28\)"):
        Sampler(longer, threads=1).warm_up()


def test_a_critic_that_is_no_graph_is_refused_at_the_warm_up(tmp_path: Path, tiny_model: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model" / "critic.onnx").write_bytes(b"no graph")
    artifact = Artifact.load(tiny_model)
    digests = {**artifact.digests, "critic.onnx": hashlib.sha256(b"no graph").hexdigest()}
    with pytest.raises(ArtifactError, match=r"critic\.onnx is not a graph that ONNX Runtime can read"):
        Sampler(replace(artifact, path=tmp_path / "model", digests=digests), threads=1).warm_up()


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, sampler: Sampler) -> None:
    (tmp_path / "generator.onnx").write_bytes(b"no graph")
    digests = {"generator.onnx": hashlib.sha256(b"no graph").hexdigest()}
    with pytest.raises(ArtifactError, match=r"generator\.onnx is not a graph that ONNX Runtime can read"):
        Sampler(replace(sampler.artifact, path=tmp_path, digests=digests))


def test_a_graph_that_changed_after_it_was_verified_is_refused(tmp_path: Path, sampler: Sampler) -> None:
    (tmp_path / "generator.onnx").write_bytes(b"another graph")
    with pytest.raises(ArtifactError, match=r"generator\.onnx has changed since it was verified"):
        Sampler(replace(sampler.artifact, path=tmp_path))


def test_what_serves_on_a_cpu_imports_no_torch() -> None:
    program = (
        "import sys, model.sampler, model.artifact, model.writing, service, service.app; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"
