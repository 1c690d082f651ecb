"""What any variant may have besides its loss, on images under DCGAN and WGAN-GP: average, norms, R1, two step sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from small_runs import assert_same, begin, configured, data_of, rounds, stopped_and_continued, undisturbed, weights
from torch import nn
from torch.nn.utils import parametrize

from training.game import Batch
from training.layers import Spectral

VARIANTS = ("dcgan", "wgan-gp")
PLAIN = {"critic.norm": "none"}  # where DCGAN's own batch norm would be in the way
OPTIONS: dict[str, dict[str, Any]] = {
    "spectral norm": {"critic.norm": "spectral"},
    "R1": {**PLAIN, "r1": 10.0},
    "two step sizes": {**PLAIN, "lr_critic": 4e-4, "lr_generator": 1e-4},
    "augmentation": {"augment": ("color", "translation", "cutout")},
    "all": {"critic.norm": "spectral", "r1": 1.0, "lr_critic": 4e-4, "augment": ("color", "cutout"), "ema": 0.99},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_an_option_plays_and_goes_on_exactly(tmp_path: Path, variant: str, option: dict[str, Any]) -> None:
    config, data = configured(variant, **option), data_of("image")
    assert all(value.isfinite() for terms in rounds(begin(config, data), config, data, 1) for value in terms.values())
    assert_same(stopped_and_continued(config, data, tmp_path), undisturbed(config, data))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_average_holds_the_batch_norms_statistics_as_it_holds_weights(variant: str) -> None:
    config, data = configured(variant, ema=0.7), data_of("image")
    training = begin(config, data)
    expected = {name: tensor.clone() for name, tensor in training.game.players["generator"].state_dict().items()}
    assert {"running_mean", "running_var"} <= {name.rpartition(".")[2] for name in expected}
    for number in range(3):
        rounds(training, config, data, 1)
        decay = min(0.7, (1 + number) / (10 + number))
        for name, now in training.game.players["generator"].state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * now if now.is_floating_point() else now
    found = training.average.module.state_dict()
    torch.testing.assert_close(found, expected)
    own = training.game.players["generator"].state_dict()
    assert not any(torch.equal(found[name], own[name]) for name in own if name.endswith("running_mean"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_player_makes_steps_of_its_own_size(variant: str) -> None:
    # Adam's first step is of its size in each weight, whatever the gradient.
    config, data = configured(variant, n_critic=1, lr_critic=4e-4, lr_generator=1e-4), data_of("image")
    training = begin(config, data)
    before = weights(training)
    rounds(training, config, data, 1)
    for player, size in (("critic", 4e-4), ("generator", 1e-4)):
        pairs = zip(before[player], weights(training)[player], strict=True)
        assert max((after - first).abs().max().item() for first, after in pairs) == pytest.approx(size, rel=1e-2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_spectral_norm_follows_the_largest_singular_value_of_every_weight_of_the_critic(variant: str) -> None:
    config, data = configured(variant, **{"critic.norm": "spectral"}), data_of("image")
    training = begin(config, data)
    rounds(training, config, data, 2)
    critic = training.game.players["critic"]
    lists = [part for part in critic.modules() if isinstance(part, parametrize.ParametrizationList)]
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(lists) == len(layers) > 1
    for part in lists:
        for _ in range(200):  # until the power method has come to its end
            cast(Spectral, part[0]).iterate(part.original)
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_r1_is_half_its_weight_times_the_squared_slope_at_real_images(variant: str) -> None:
    config, data = configured(variant, **PLAIN, r1=10.0, n_critic=1), data_of("image")
    training = begin(config, data)
    critic, real = training.game.players["critic"], data.samples[:6].clone().requires_grad_()
    _, terms = training.game.loss("critic", Batch(real.detach(), torch.zeros(6, 3), torch.full((6,), 0.5)))
    (slope,) = torch.autograd.grad(critic(real).sum(), real)
    assert terms["r1"].item() == pytest.approx(5 * slope.square().flatten(1).sum(dim=1).mean().item(), rel=1e-4)
