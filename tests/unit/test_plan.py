"""A plan: what the data and the variant add to a configuration of themselves, and where a run is put."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import ConfigurationError
from training.catalogue import CATALOGUE
from training.layering import flatten, resolve
from training.plan import default_run, plan

SOURCES = {"data.sources": ("names.txt",)}


def test_a_plan_without_data_is_refused() -> None:
    for values in ({}, {"data.sources": ()}, {"data.sources": []}):
        with pytest.raises(ConfigurationError, match="no data: name a file of lines, or builtin:names"):
            plan({"flag": values})


def test_a_plan_on_text_is_the_resolved_configuration() -> None:
    assert plan({"flag": SOURCES}) == resolve({"flag": SOURCES})


def test_one_source_may_be_a_string() -> None:
    config, _ = plan({"flag": {"data.sources": "names.txt"}})
    assert config.data.sources == ("names.txt",)


@pytest.mark.parametrize("sources", [3, True])
def test_sources_that_are_no_names_are_refused_with_the_key(sources: object) -> None:
    with pytest.raises(ConfigurationError, match=r"data"):
        plan({"flag": {"data.sources": sources}})


@pytest.mark.parametrize("preset", [["tiny"], 3])
def test_a_preset_that_is_no_name_is_refused(preset: object) -> None:
    with pytest.raises(ConfigurationError, match=r"preset must be one of tiny, small, base, paper, got "):
        plan({"flag": {**SOURCES, "preset": preset}})


@pytest.mark.parametrize("variant", [name for name, entry in CATALOGUE.items() if entry.defaults])
def test_a_variant_brings_its_own_defaults_over_the_preset(variant: str) -> None:
    config, origins = plan({"flag": {**SOURCES, "variant": variant}})
    values = dict(flatten(config.model_dump()))
    for key, value in CATALOGUE[variant].defaults.items():
        assert values[key] == value
        assert origins[key] == f"variant {variant}"


def test_what_a_person_says_beats_the_defaults_of_variant_and_data() -> None:
    asked = {"data.sources": ["builtin:ring"], "variant": "wgan", "n_critic": 9, "model.width": 7}
    config, origins = plan({"environment": {"lr_critic": 0.5}, "flag": asked})
    assert (config.n_critic, config.model.width, config.lr_critic) == (9, 7, 0.5)
    assert (config.lr_generator, origins["lr_generator"]) == (5e-5, "variant wgan")
    assert (config.batch_size, origins["batch_size"]) == (256, "data builtin:ring")


def test_the_variant_of_any_layer_brings_its_defaults() -> None:
    config, origins = plan({"file": {**SOURCES, "variant": "dcgan"}, "flag": {"seed": 1}})
    assert (config.n_critic, config.beta2) == (1, 0.999)
    assert origins["beta2"] == "variant dcgan"
    later, _ = plan({"file": {**SOURCES, "variant": "dcgan"}, "flag": {"variant": "wgan-gp"}})
    assert later.beta2 == 0.9


@pytest.mark.parametrize("source", ["builtin:ring", "builtin:grid", "builtin:swissroll", "builtin:ring?n=500"])
def test_points_bring_a_small_penalty_and_small_networks(source: str) -> None:
    config, origins = plan({"flag": {"data.sources": (source,)}})
    model = config.model
    assert (config.penalty, config.batch_size, model.width, model.depth, model.latent) == (0.1, 256, 128, 3, 2)
    assert origins["penalty"] == f"data {source.partition('?')[0]}"


def test_prose_is_cut_into_windows() -> None:
    config, _ = plan({"flag": {"data.sources": ("builtin:docs",)}})
    assert (config.data.on_long, config.data.max_length) == ("window", 32)


@pytest.mark.parametrize(
    ("source", "variant", "run"),
    [
        ("data/names.txt", "wgan-gp", "names"),
        ("data/names.csv.gz", "wgan-gp", "names"),
        ("builtin:digits", "dcgan", "digits-dcgan"),
        ("builtin:names?n=500", "wgan-gp", "names"),
        ("hf:someone/some-names", "wgan-gp", "some-names"),
        ("data/*.txt", "gan", "standard-input-gan"),
        ("-", "wgan-gp", "standard-input"),
        ("a name (1).txt", "wgan-gp", "a-name-1"),
        ("ñame.txt", "wgan-gp", "ñame"),
    ],
)
def test_a_run_is_named_after_its_data_and_variant(source: str, variant: str, run: str) -> None:
    assert default_run([source], variant) == Path("runs") / run
