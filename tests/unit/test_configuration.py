"""Configuration: which layer wins, what is refused and how it says so."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from model.errors import ConfigurationError
from training.configuration import Config
from training.layering import flatten, keys, resolve
from training.presets import PRESETS

SOURCES = {"data.sources": ("names.txt",)}


def refusal(values: dict[str, Any], preset: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        resolve({"flag": values}, preset)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_later_layers_win_and_each_key_knows_who_set_it() -> None:
    layers = {
        "file": {"batch_size": 10, "n_critic": 3, "model.depth": 2, "seed": 1},
        "environment": {"batch_size": 11, "n_critic": 4},
        "flag": {"batch_size": 12},
    }
    config, origins = resolve(layers, preset="base")
    assert (config.batch_size, config.n_critic, config.model.depth, config.model.width) == (12, 4, 2, 128)
    expected = {
        "batch_size": "flag",
        "n_critic": "environment",
        "model.depth": "file",
        "model.width": "preset base",
        "model.kernel": "default",
        "seed": "file",
    }
    assert {key: origins[key] for key in expected} == expected
    assert origins.keys() == keys().keys()


def test_nothing_asked_for_gives_the_preset_small() -> None:
    config, origins = resolve({})
    assert config == resolve({}, preset="small")[0]
    assert config.model.width == PRESETS["small"]["model.width"] == 64
    assert set(origins.values()) == {"preset small", "default"}


def test_a_layer_may_choose_the_preset_and_the_later_one_wins() -> None:
    config, origins = resolve({"file": {"preset": "paper"}, "flag": {"preset": "base", "n_critic": 7}})
    assert (config.model.width, config.n_critic) == (128, 7)
    assert origins["model.width"] == "preset base"
    assert resolve({"file": {"preset": "paper"}}, preset="tiny")[0].model.width == 512


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    assert refusal({}, "huge") == "preset must be one of tiny, small, base, paper, got 'huge'"
    assert refusal({"preset": "huge"}) == refusal({}, "huge")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_within_the_bounds(preset: str) -> None:
    config, origins = resolve({}, preset)
    values = dict(flatten(config.model_dump()))
    assert PRESETS[preset].items() <= values.items()
    assert {key for key, origin in origins.items() if origin == f"preset {preset}"} == PRESETS[preset].keys()


def test_the_preset_paper_is_the_papers_numbers() -> None:
    config, _ = resolve({}, "paper")
    model = config.model
    assert (model.width, model.depth, model.kernel, model.latent) == (512, 5, 5, 128)
    assert (config.data.max_length, config.batch_size, config.n_critic, config.penalty) == (32, 64, 5, 10.0)
    assert (config.lr_generator, config.lr_critic, config.beta1, config.beta2) == (1e-4, 1e-4, 0.5, 0.9)
    assert (config.variant, config.update, config.ema, config.precision) == ("wgan-gp", "alternating", 0.0, "fp32")


def test_every_key_has_a_description() -> None:
    described = keys()
    assert {"variant", "data.sources", "data.seed", "model.kernel", "checkpoint_seconds"} <= described.keys()
    assert "data" not in described
    assert "model" not in described
    assert described.keys() == dict(flatten(Config().model_dump())).keys()
    for key, description in described.items():
        assert description.endswith("."), key


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("batchsize", "'batch_size'"),
        ("model.widht", "'model.width'"),
        ("width", "'model.width'"),
        ("lr_critc", "'lr_critic'"),
    ],
)
def test_an_unknown_key_is_refused_with_the_closest_one(key: str, hint: str) -> None:
    assert refusal({key: 1}) == (f"unknown configuration key {key!r} (from the command line): did you mean {hint}?")


@pytest.mark.parametrize("key", ["zzz", "model", "data"])
def test_a_key_like_no_other_is_refused_with_where_to_look(key: str) -> None:
    assert refusal({key: 1}).startswith(f"unknown configuration key {key!r} (from the command line): ")


def test_a_key_that_nothing_resembles_points_to_the_list() -> None:
    assert refusal({"zzz": 1}) == (
        "unknown configuration key 'zzz' (from the command line): `charwgan train --dry-run` prints every key"
    )


@pytest.mark.parametrize(
    ("key", "value", "bound"),
    [
        ("n_critic", 0, "greater than or equal to 1"),
        ("batch_size", 1, "greater than or equal to 2"),
        ("batch_size", 65537, "less than or equal to 65536"),
        ("model.depth", 65, "less than or equal to 64"),
        ("model.latent", 0, "greater than or equal to 1"),
        ("data.max_length", 1025, "less than or equal to 1024"),
        ("data.held_out", 1.0, "less than 1"),
        ("data.held_out", 0.0, "greater than 0"),
        ("lr_critic", 0.0, "greater than 0"),
        ("lr_generator", 1.5, "less than or equal to 1"),
        ("penalty", -0.5, "greater than or equal to 0"),
        ("ema", 1.0, "less than 1"),
        ("beta2", 1.0, "less than 1"),
        ("seed", 2**63, f"less than {2**63}"),
        ("max_seconds", 0.0, "greater than 0"),
        ("lr_critic", float("nan"), "a finite number"),
        ("max_seconds", float("inf"), "a finite number"),
        ("penalty", float("inf"), "a finite number"),
        ("update", "alternate", "'consensus', 'extragradient' or 'optimistic'"),
        ("data.on_long", "cut", "'truncate', 'drop' or 'window'"),
        ("n_critic", "many", "valid integer"),
        ("n_critic", 2.5, "valid integer"),
        ("variant", 3, "valid string"),
        ("model.width", None, "valid integer"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_key_bound_and_value(key: str, value: object, bound: str) -> None:
    message = refusal({key: value})
    assert message.startswith(f"{key}: ")
    assert bound in message
    assert message.endswith(f", got {value!r} (from the command line)")


@pytest.mark.parametrize("kernel", [2, 4, 30])
def test_an_even_kernel_is_refused_because_it_would_change_the_length(kernel: int) -> None:
    assert refusal({"model.kernel": kernel}) == (
        f"model.kernel must be odd so that the length is kept, got {kernel} (from the command line)"
    )


def test_a_configuration_cannot_be_changed() -> None:
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


def test_a_configuration_survives_json() -> None:
    config, _ = resolve({"flag": {**SOURCES, "data.column": "name", "max_rounds": 5}}, "paper")
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_flattening_gives_dotted_keys() -> None:
    tree = {"a": 1, "b": {"c": 2, "d": {"e": [3]}}, "f": {}}
    assert dict(flatten(tree)) == {"a": 1, "b.c": 2, "b.d.e": [3]}


def test_more_threads_than_processors_are_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.threads.usable_processors", lambda: 4)
    assert resolve({"flag": {"threads": 4}})[0].threads == 4
    assert refusal({"threads": 5}).startswith(
        "threads (from the command line) must be at most 4, the processors that are usable here, got 5: "
    )


def test_a_run_keeps_the_threads_that_it_began_with_on_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.threads.usable_processors", lambda: 4)
    assert resolve({"run": {"threads": 16}})[0].threads == 16
    with pytest.raises(ConfigurationError, match="at most 4"):
        resolve({"run": {"threads": 16}, "environment": {"threads": 17}})
