"""Training strings are known again by their hashes: in a run, in a model, and against what is generated."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from model.alphabet import Alphabet
from model.artifact import MANIFEST, Artifact, write_artifact
from model.constraints import Constraints, compile_constraints
from model.errors import ArtifactError
from model.novelty import HASHES, Novelty
from model.sampler import Sampler, Scorer
from model.threads import Workers
from training.configuration import Config
from training.data import open_dataset
from training.display import PlainDisplay
from training.evaluation.table import ScoreTable
from training.export import export_run
from training.job import train
from training.layering import resolve

ALPHABET = Alphabet("abcdeé", 5)
texts = st.text(alphabet=ALPHABET.characters, max_size=5)


def of(strings: list[str], alphabet: Alphabet = ALPHABET, digest: str = "a digest") -> Novelty:
    return Novelty.of(alphabet.encode(strings), alphabet, digest)


# The hashes


@settings(deadline=None)
@given(training=st.lists(texts), asked=st.lists(texts))
def test_a_string_is_contained_exactly_if_it_was_a_training_string(training: list[str], asked: list[str]) -> None:
    asked += training
    assert of(training).contains(asked).tolist() == [text in training for text in asked]


def test_hashes_are_keyed_blake2b_of_utf_8_ascending_and_each_once() -> None:
    found = of(["bad", "é", "bad", "ada"])
    expected = [
        int.from_bytes(hashlib.blake2b(text.encode(), key=found.key, digest_size=8).digest(), "little")
        for text in ("bad", "é", "ada")
    ]
    assert len(found.key) == 16
    assert found.hashes.dtype == np.uint64
    assert found.hashes.tolist() == sorted(expected)


def test_a_string_is_known_in_whatever_form_of_unicode_it_comes() -> None:
    assert of(["dé"]).contains(["dé", "de\u0301", "de"]).tolist() == [True, True, False]


def test_training_strings_are_known_as_they_were_learned_cut_at_the_length() -> None:
    assert of(["abcdeabc"]).contains(["abcde", "abcdeabc"]).tolist() == [True, False]


def test_a_training_string_with_an_unknown_character_is_left_out() -> None:
    found = of(["axb", "ab"])
    assert len(found.hashes) == 1
    assert found.contains(["a\ufffdb", "axb", "ab"]).tolist() == [False, False, True]


def test_no_training_strings_contain_nothing() -> None:
    assert of([]).contains(["", "a"]).tolist() == [False, False]
    assert of(["a"]).contains([]).tolist() == []


def test_the_key_is_a_function_of_the_data() -> None:
    assert of(["ab"]).key == of(["ab"]).key != of(["ab"], digest="another digest").key


# The file


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    found = of(["ab", "ba"])
    read = Novelty.from_bytes(found.to_bytes(), tmp_path / HASHES)
    assert read.key == found.key
    assert np.array_equal(read.hashes, found.hashes)


KEY, ASCENDING = np.zeros(16, dtype=np.uint8), np.array([1, 2], dtype=np.uint64)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a readable safetensors file"),
        (b"\xff" * 64, "not a readable safetensors file"),
        (save({"hashes": ASCENDING}), "must hold a key of 16 bytes"),
        (save({"key": KEY[:8], "hashes": ASCENDING}), "must hold a key of 16 bytes"),
        (save({"key": KEY.astype(np.int8), "hashes": ASCENDING}), "must hold a key of 16 bytes"),
        (save({"key": KEY}), "ascending 64-bit numbers"),
        (save({"key": KEY, "hashes": ASCENDING.astype(np.int64)}), "ascending 64-bit numbers"),
        (save({"key": KEY, "hashes": ASCENDING.reshape(1, 2)}), "ascending 64-bit numbers"),
        (save({"key": KEY, "hashes": ASCENDING[::-1].copy()}), "ascending 64-bit numbers"),
        (save({"key": KEY, "hashes": np.array([2, 2], dtype=np.uint64)}), "ascending 64-bit numbers"),
    ],
)
def test_a_file_that_holds_no_such_hashes_is_refused_with_the_model(
    tiny_model: Path, tmp_path: Path, data: bytes, reason: str
) -> None:
    with pytest.raises(ArtifactError, match=reason):
        Novelty.from_bytes(data, tmp_path / HASHES)
    write_artifact(tmp_path / "m", files_of(tiny_model) | {HASHES: data})
    with pytest.raises(ArtifactError, match=rf"{HASHES}.*{reason}"):
        Artifact.load(tmp_path / "m")


# The model


def files_of(model: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in model.iterdir() if path.name != MANIFEST}


def test_a_model_without_hashes_is_a_model_that_cannot_tell_what_is_new(tiny_model: Path) -> None:
    artifact = Artifact.load(tiny_model)
    assert artifact.novelty is None
    with pytest.raises(Exception, match="novel needs a model with hashes"):
        compile_constraints(Constraints(novel=True), artifact.alphabet, artifact.novelty)


def test_a_model_with_hashes_knows_its_training_strings(tiny_model: Path, tmp_path: Path) -> None:
    strings = ["ada", "bea"]
    alphabet = Artifact.load(tiny_model).alphabet
    write_artifact(tmp_path / "m", files_of(tiny_model) | {HASHES: of(strings, alphabet).to_bytes()})
    artifact = Artifact.load(tmp_path / "m")
    assert artifact.novelty is artifact.novelty is not None
    compiled = compile_constraints(Constraints(novel=True), artifact.alphabet, artifact.novelty)
    assert compiled.judge(["ada", "adb"], set()) == ["novel", None]


def test_hashes_that_were_changed_are_damage(tiny_model: Path, tmp_path: Path) -> None:
    write_artifact(tmp_path / "m", files_of(tiny_model) | {HASHES: of(["ab"]).to_bytes()})
    artifact = Artifact.load(tmp_path / "m")
    (tmp_path / "m" / HASHES).write_bytes(of(["ba"]).to_bytes())
    with pytest.raises(ArtifactError, match=rf"{HASHES} is damaged"):
        Artifact.load(tmp_path / "m")
    with pytest.raises(ArtifactError, match="has changed since it was verified"):
        _ = artifact.novelty


# The run


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARWGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def config(corpus_file: Path) -> Config:
    flags: dict[str, Any] = {
        "data.sources": [str(corpus_file)],
        "data.max_length": 8,
        "model.width": 8,
        "model.depth": 1,
        "model.latent": 8,
        "batch_size": 16,
        "threads": 1,
        "device": "cpu",
        "max_rounds": 3,
    }
    return resolve({"test": {"max_seconds": None, **flags}}, preset="tiny")[0]


@pytest.fixture(scope="module")
def run(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three rounds."""
    folder = tmp_path_factory.mktemp("runs") / "names"
    train(config, folder, PlainDisplay())
    return folder


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    path = tmp_path_factory.mktemp("models") / "names"
    export_run(run, path)
    return Artifact.load(path)


def test_a_run_hands_the_hashes_of_its_training_part_to_its_model(config: Config, exported: Artifact) -> None:
    corpus = open_dataset(config.data)
    train_lines, held_out = (exported.alphabet.decode(part) for part in (corpus.train, corpus.held_out))
    assert exported.novelty is not None
    assert exported.novelty.contains(train_lines).all()
    assert exported.novelty.contains(held_out).tolist() == [line in set(train_lines) for line in held_out]
    assert len(exported.novelty.hashes) == len(set(train_lines))


def test_hashes_are_the_same_in_another_run_on_the_data_and_after_a_resume(
    config: Config, run: Path, tmp_path: Path
) -> None:
    before = (run / HASHES).read_bytes()
    train(config, tmp_path / "other", PlainDisplay())
    assert (tmp_path / "other" / HASHES).read_bytes() == before
    written = (tmp_path / "other" / HASHES).stat()
    longer = config.model_copy(update={"max_rounds": 4})
    train(longer, tmp_path / "other", PlainDisplay(), resume=True)
    after = (tmp_path / "other" / HASHES).stat()
    assert (after.st_ino, after.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_run_of_an_older_version_is_exported_without_hashes_and_gets_them_when_it_goes_on(
    config: Config, run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "old")
    (tmp_path / "old" / HASHES).unlink()
    export_run(tmp_path / "old", tmp_path / "m")
    assert Artifact.load(tmp_path / "m").novelty is None
    train(config.model_copy(update={"max_rounds": 4}), tmp_path / "old", PlainDisplay(), resume=True)
    assert (tmp_path / "old" / HASHES).read_bytes() == (run / HASHES).read_bytes()


def test_damaged_hashes_of_a_run_are_not_exported(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / HASHES).write_bytes((run / HASHES).read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=rf"{HASHES} is not a readable safetensors file"):
        export_run(tmp_path / "run", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_model_tells_the_quantiles_of_its_critics_scores(config: Config, run: Path, exported: Artifact) -> None:
    told = exported.metrics["critic_scores"]
    assert set(told) == {"real", "generated"}
    for name in ("real", "generated"):
        assert len(told[name]) == 101
        assert told[name] == sorted(told[name])
    corpus = open_dataset(config.data)
    held_out = Scorer(exported, Workers(1)).scores(exported.alphabet.decode(corpus.held_out))
    assert len(corpus.held_out) <= 3000
    expected = np.quantile(held_out.astype(np.float64), np.linspace(0, 1, 101))
    np.testing.assert_allclose(told["real"], expected, atol=1e-4)


def test_quantiles_are_those_of_what_the_exported_model_writes(exported: Artifact) -> None:
    sampler = Sampler(exported, threads=1)
    strings = [text for part in sampler.stream(0, 0, 3000) for text in part]
    expected = np.quantile(sampler.scores(strings).astype(np.float64), np.linspace(0, 1, 101))
    np.testing.assert_allclose(exported.metrics["critic_scores"]["generated"], expected, atol=1e-4)


def test_the_table_and_the_card_stand_beside_the_quantiles(run: Path, exported: Artifact) -> None:
    table = ScoreTable.from_dict(json.loads((run / "metrics.json").read_text()))
    assert "model" in table.names
    card = (exported.path / "README.md").read_text()
    assert table.plain(100).splitlines()[0].strip() in card
    assert "critic_scores" in card
    assert HASHES in card
