"""The catalogue: every entry obeys what is configured, or refuses it with the reason."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from small_runs import CPU, begin, configured, data_of, rounds

from model.errors import ConfigurationError
from training.catalogue import CATALOGUE, Variant, check_obeyed, find_variant, make_game
from training.configuration import Config
from training.data.dataset import Kind
from training.divergences import F_DIVERGENCES
from training.loop import Draws
from training.networks.roles import Roles
from training.plan import plan
from training.updates import Alternating

FORMS = ("two-sided", "one-sided", "zero-centred", "finite-difference")
TWO_PLAYERS = ("wgan-gp", "wgan", "gan", "minimax-gan", "lsgan", "hinge-gan", "f-gan", "density-ratio-gan")
SOURCES = {"data.sources": ("names.txt",)}


def played(kind: Kind, config: Config, n: int = 2) -> list[dict[str, float]]:
    """The terms of some rounds, the last but one of a variant whose first are long."""
    data = data_of(kind)
    training = begin(config, data)
    training.round = 26
    return [{name: float(value) for name, value in terms.items()} for terms in rounds(training, config, data, n)]


def refusal(kind: Kind = "points", variant: str = "wgan-gp", **changed: Any) -> str:
    with pytest.raises(ConfigurationError) as error:
        begin(configured(variant, **changed), data_of(kind))
    return str(error.value)


@pytest.mark.parametrize("variant", CATALOGUE)
def test_an_entry_has_a_source_a_summary_and_keys_that_there_are(variant: str) -> None:
    entry = find_variant(variant)
    assert any(digit in entry.source for digit in "0123456789")
    assert entry.summary.endswith((".", "=kl", "=pearson", "=kl.", "=pearson."))
    config, _ = plan({"flag": {**SOURCES, "variant": variant}})
    assert config.variant == variant


@pytest.mark.parametrize(("variant", "kind"), list(product(TWO_PLAYERS, ("text", "image", "points"))))
def test_every_game_of_two_players_obeys_r1_and_r2_on_every_kind_of_data(variant: str, kind: Kind) -> None:
    config = configured(variant, **{"r1": 2.0, "r2": 3.0, "critic.norm": "none"})
    for terms in played(kind, config):
        assert {"critic/r1", "critic/r2"} <= terms.keys()
        assert terms["critic/r1"] > 0
        assert all(torch.isfinite(torch.tensor(value)) for value in terms.values())


@pytest.mark.parametrize(("form", "kind"), list(product(FORMS, ("text", "image", "points"))))
def test_wgan_gp_has_every_form_of_the_penalty_on_every_kind_of_data(form: str, kind: Kind) -> None:
    for terms in played(kind, configured("wgan-gp", penalty_form=form)):
        name = "critic/chord_penalty" if form == "finite-difference" else "critic/gradient_penalty"
        assert terms[name] >= 0
        assert all(torch.isfinite(torch.tensor(value)) for value in terms.values())


def test_the_forms_of_the_penalty_are_told_apart() -> None:
    found = {form: list(played("points", configured("wgan-gp", penalty_form=form), 1)[0].values()) for form in FORMS}
    assert len({tuple(values) for values in found.values()}) == len(FORMS)


@pytest.mark.parametrize(("variant", "divergence"), list(product(("f-gan", "density-ratio-gan"), F_DIVERGENCES)))
def test_both_games_of_f_divergences_play_for_each(variant: str, divergence: str) -> None:
    config = configured(variant, divergence=divergence)
    if (variant, divergence) == ("density-ratio-gan", "total-variation"):
        assert "no slope to learn a ratio by" in refusal(variant=variant, divergence=divergence)
        return
    name = divergence.replace("-", "_") + ("_ratio" if variant == "density-ratio-gan" else "")
    for terms in played("points", config):
        assert {f"critic/{name}", f"generator/{name}"} <= terms.keys()
        assert all(torch.isfinite(torch.tensor(value)) for value in terms.values())


@pytest.mark.parametrize("variant", ["gan", "minimax-gan"])
def test_logistic_games_are_smoothed(variant: str) -> None:
    plain, smooth = (played("points", configured(variant, label_smoothing=alpha), 1)[0] for alpha in (1.0, 0.9))
    term = next(name for name in plain if name.startswith("critic/"))
    assert plain[term] != smooth[term]


@pytest.mark.parametrize("variant", ["wgan-gp", "wgan", "hinge-gan", "f-gan", "density-ratio-gan"])
def test_label_smoothing_of_a_loss_without_targets_is_refused(variant: str) -> None:
    assert "label_smoothing = 0.9 needs a loss with targets" in refusal(variant=variant, label_smoothing=0.9)


@pytest.mark.parametrize(
    "variant", [name for name, entry in CATALOGUE.items() if "points" in entry.kinds and name != "avb"]
)
def test_slopes_are_penalised_in_every_game_that_is_asked_and_in_wgan_gp_alone_where_none_is(variant: str) -> None:
    held = {key: value for key, value in CATALOGUE[variant].defaults.items() if key == "critic.norm"}
    assert not held, "of points no variant has batch norm"
    for penalty in ({"penalty": 3.0}, {}):
        config, data = configured(variant, **penalty), data_of("points", variant)
        (terms,) = rounds(begin(config, data), config, data, 1)
        there = any(name.endswith("gradient_penalty") for name in terms)
        assert there == (bool(penalty) or variant == "wgan-gp")


@pytest.mark.parametrize("key", ["penalty", "r1", "r2"])
def test_batch_norm_under_a_penalty_is_refused_with_the_reason(key: str) -> None:
    variant = "wgan-gp" if key == "penalty" else "dcgan"
    told = refusal("image", variant, **{"critic.norm": "batch", key: 1.0})
    assert "critic.norm = batch cannot be had with" in told
    assert "under batch norm a score depends on the whole batch" in told


def test_without_a_penalty_there_is_no_such_term_and_batch_norm_may_be() -> None:
    (terms,) = played("image", configured("wgan-gp", **{"penalty": 0.0, "critic.norm": "batch"}), 1)
    assert not [name for name in terms if "penalty" in name]


@pytest.mark.parametrize("variant", [name for name in TWO_PLAYERS if name != "wgan-gp"])
def test_a_form_without_a_penalty_is_refused(variant: str) -> None:
    assert "there is none here" in refusal(variant=variant, penalty_form="one-sided")
    assert "there is none here" in refusal(variant="wgan-gp", penalty_form="one-sided", penalty=0.0)


def test_clipping_of_steps_that_are_looked_ahead_is_refused() -> None:
    assert "unrolled = 2 cannot be had with weight clipping" in refusal(variant="wgan", unrolled=2)


@pytest.mark.parametrize("norm", ["weight", "spectral"])
def test_clipping_of_what_weights_are_made_of_is_refused(norm: str) -> None:
    assert f"critic.norm = {norm} cannot be had with weight clipping" in refusal(
        variant="wgan", **{"critic.norm": norm}
    )


@pytest.mark.parametrize("origin", ["file", "environment", "flag"])
@pytest.mark.parametrize(
    ("variant", "key", "value"),
    [
        ("gan", "divergence", "kl"),
        ("wgan-gp", "divergence", "jensen-shannon"),
        ("lsgan", "clip", 0.1),
        ("wgan-gp", "clip", 0.01),
    ],
)
def test_a_key_that_a_person_set_and_the_variant_does_not_obey_is_refused(
    origin: str, variant: str, key: str, value: object
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{key} = {value} has no effect on variant {variant}, only on "):
        plan({origin: {**SOURCES, "variant": variant, key: value}})


def test_what_data_presets_and_a_run_that_goes_on_bring_is_not_refused() -> None:
    config, origins = plan({"flag": {"data.sources": ("builtin:ring",), "variant": "gan"}})
    assert (config.penalty, origins["penalty"]) == (0.0, "variant gan")
    held, _ = plan({"flag": {"data.sources": ("builtin:ring",)}})
    assert held.penalty == 0.1
    paper, _ = plan({"flag": {**SOURCES, "preset": "paper"}})
    assert paper.penalty == 10.0
    again, _ = plan({"run": {**SOURCES, "variant": "gan", "penalty": 3.0, "clip": 0.5}, "flag": {"seed": 1}})
    assert again.clip == 0.5


def test_keys_that_every_variant_obeys_and_keys_of_the_variant_are_not_refused() -> None:
    for entry in CATALOGUE.values():
        check_obeyed(entry, {"r1": 1.0, "seed": 3, "data.sources": ()} | dict.fromkeys(entry.options, 1))
    assert find_variant("f-gan").options == find_variant("density-ratio-gan").options == ("divergence",)
    assert isinstance(find_variant("wgan-gp"), Variant)


@pytest.mark.parametrize("clip", [0.01, 0.2])
def test_wgans_critic_is_within_its_bound_after_every_move(clip: float) -> None:
    config, data = configured("wgan", clip=clip, lr_critic=1.0), data_of("points")
    training, sizes = begin(config, data), list[float]()
    draw = Draws(data, config.batch_size, config.model.latent, config.seed, CPU).of_round(0)

    def spied() -> Any:
        sizes.append(max(float(p.detach().abs().max()) for p in training.game.parameters("critic")))
        return draw()

    Alternating().play_round(training.game, training.optimizers, spied)
    assert len(sizes) == config.n_critic + 1
    assert sizes[0] > clip
    assert sizes[1:] == pytest.approx([clip] * config.n_critic)


def test_wgans_critic_moves_a_hundred_times_at_first_and_then_every_500th_round() -> None:
    config = configured("wgan", n_critic=5)
    game = make_game(Roles("points", (2,), config), config)
    moves = {number: game.in_round(number).turns.count("critic") for number in (0, 24, 25, 499, 500, 501, 1000)}
    assert moves == {0: 100, 24: 100, 25: 5, 499: 5, 500: 100, 501: 5, 1000: 100}
    assert game.in_round(500).turns[-1] == "generator"


def test_wgan_has_the_papers_optimiser() -> None:
    config, _ = plan({"flag": {**SOURCES, "variant": "wgan"}})
    assert (config.optimizer, config.lr_critic, config.lr_generator, config.n_critic) == ("rmsprop", 5e-5, 5e-5, 5)
    assert config.clip == 0.01


@pytest.mark.parametrize("variant", TWO_PLAYERS)
def test_networks_are_a_function_of_the_seed_alone(variant: str) -> None:
    config = configured(variant)
    one, other = (begin(config, data_of("points")).game.parameters("generator") for _ in range(2))
    same = begin(configured("wgan-gp"), data_of("points")).game.parameters("generator")
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(one, other, same, strict=True))
