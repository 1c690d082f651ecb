"""The labels of a conditional model: what may be some, which string draws which, and how networks are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_files import contents

from model.artifact import Artifact, write_artifact
from model.errors import ArtifactError, ConfigurationError
from model.labels import FEW, Labels
from model.latents import LABELS, latents, uniforms

COUNTRIES = Labels(("de", "fr", "it"), np.array([0.5, 0.3, 0.2]))


def opened(path: Path, labels: object) -> Artifact:
    """A model whose configuration has these labels."""
    config = {"model": {"latent": 6}, "labels": labels}
    write_artifact(path, contents(**{"config.json": json.dumps(config).encode()}), replace=True)
    return Artifact.load(path)


def test_a_model_says_its_labels_in_order_with_their_shares(tmp_path: Path) -> None:
    labels = opened(tmp_path / "names", {"names": ["fr", "de"], "shares": [0.25, 0.75]}).labels
    assert labels.names == ("fr", "de")
    assert labels.shares.tolist() == [0.25, 0.75]
    assert labels.listed() == [{"name": "fr", "share": 0.25}, {"name": "de", "share": 0.75}]
    assert ("fr" in labels, "it" in labels) == (True, False)


def test_a_model_without_labels_is_not_conditional(tmp_path: Path) -> None:
    write_artifact(tmp_path / "names", contents())
    assert not Artifact.load(tmp_path / "names").labels
    assert not opened(tmp_path / "names", None).labels


REFUSED: dict[str, tuple[Any, str]] = {
    "no object": (["de"], "an array of names, and one of as many shares"),
    "no shares": ({"names": ["de"]}, "an array of names, and one of as many shares"),
    "fewer shares": ({"names": ["de", "fr"], "shares": [1]}, "an array of names, and one of as many shares"),
    "none": ({"names": [], "shares": []}, "between 1 and 10000 labels, got 0"),
    "too many": ({"names": list(map(str, range(10_001))), "shares": [0] * 10_001}, "10000 labels, got 10001"),
    "an empty name": ({"names": [""], "shares": [1]}, "a string of 1 to 255 characters"),
    "a long name": ({"names": ["x" * 256], "shares": [1]}, "a string of 1 to 255 characters"),
    "half a character": ({"names": ["\ud800"], "shares": [1]}, "a string of 1 to 255 characters"),
    "a number as a name": ({"names": [1], "shares": [1]}, "a string of 1 to 255 characters"),
    "twice the same": ({"names": ["de", "de"], "shares": [0.5, 0.5]}, "distinct, got 2 of which 1 are"),
    "not finite": ({"names": ["de"], "shares": [float("nan")]}, "a number from 0 to 1"),
    "infinite": ({"names": ["de"], "shares": [float("inf")]}, "a number from 0 to 1"),
    "beyond floating point": ({"names": ["de"], "shares": [10**400]}, "a number from 0 to 1"),
    "negative": ({"names": ["de", "fr"], "shares": [-0.5, 1.5]}, "a number from 0 to 1"),
    "true": ({"names": ["de"], "shares": [True]}, "a number from 0 to 1"),
    "not the whole": ({"names": ["de", "fr"], "shares": [0.5, 0.25]}, "must sum to 1, got 0.75"),
}


@pytest.mark.parametrize(("labels", "message"), REFUSED.values(), ids=REFUSED)
def test_what_labels_cannot_be_is_refused_when_the_model_is_opened(tmp_path: Path, labels: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=rf"config\.json: .*{message}"):
        opened(tmp_path / "names", labels)


def test_labels_are_drawn_by_their_shares() -> None:
    drawn = COUNTRIES.of_strings(7, 0, 100_000)
    assert np.allclose(np.bincount(drawn) / 100_000, COUNTRIES.shares, atol=0.005)


def test_a_label_without_a_share_is_never_drawn_and_may_be_asked_for() -> None:
    labels = Labels(("none", "all", "nil"), np.array([0.0, 1.0, 0.0]))
    assert set(labels.of_strings(7, 0, 10_000).tolist()) == {1}
    assert labels.of_strings(7, 0, 2, "nil").tolist() == [2, 2]


@given(seed=st.integers(0, 2**53 - 1), first=st.integers(0, 2**53 - 1), n=st.integers(1, 40))
def test_the_label_of_a_string_depends_on_its_seed_and_place_alone(seed: int, first: int, n: int) -> None:
    alone = [COUNTRIES.of_strings(seed, first + i, 1)[0] for i in range(n)]
    assert COUNTRIES.of_strings(seed, first, n).tolist() == alone


def test_labels_and_symbols_are_drawn_by_other_numbers() -> None:
    symbols, labels = uniforms(7, 0, 1000, 1)[:, 0], uniforms(7, 0, 1000, 1, purpose=LABELS)[:, 0]
    assert abs(np.corrcoef(symbols, labels)[0, 1]) < 0.1


def test_the_generator_takes_a_label_as_a_one_hot_row_after_the_latent() -> None:
    rows = latents(7, 0, 3, 4)
    marked = COUNTRIES.beside(rows, np.array([2, 0, 0]))
    assert marked.dtype == np.float32
    assert (marked[:, :4] == rows).all()
    assert marked[:, 4:].tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0]]
    assert COUNTRIES.names_of(marked) == ["it", "de", "de"]


def test_an_unknown_label_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigurationError, match="no label of that name: it has 3 labels: de, fr, it") as refused:
        COUNTRIES.of_strings(7, 0, 1, "atlantis")
    assert "atlantis" not in str(refused.value)


def test_many_labels_are_not_listed_in_a_message() -> None:
    names = tuple(f"label{i}" for i in range(FEW + 1))
    with pytest.raises(ConfigurationError, match=r"it has 21 labels: `charwgan inspect MODEL --json` lists them"):
        Labels(names, np.full(FEW + 1, 1 / (FEW + 1))).position("x")


def test_a_label_of_a_model_without_labels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the model is not conditional: leave the label out"):
        Labels().position("de")
