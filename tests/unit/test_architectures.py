"""Networks of images other than DCGAN's: sizes, depth, what a generator may have besides, and games on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import assert_same, begin, configured, data_of, rounds, stopped_and_continued, undisturbed, weights
from torch import nn

from model.errors import ConfigurationError
from training.conditions import without
from training.data.dataset import Kind
from training.networks.residual import Bottleneck, sizes
from training.networks.roles import Roles

ARCHITECTURES = ("resnet101", "mlp")


def roles_of(architecture: str, shape: tuple[int, ...] = (1, 8, 8), labels: int = 0, **changed: Any) -> Roles:
    torch.manual_seed(0)
    config = configured("gan", **{"model.architecture": architecture, "model.width": 2, **changed})
    return Roles("image", (shape[0] + labels, *shape[1:]), config, labels)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 128, 128)])
def test_they_make_and_judge_images_of_any_size(architecture: str, shape: tuple[int, ...]) -> None:
    roles = roles_of(architecture, shape)
    images = roles.generator()(torch.randn(2, 3))
    assert images.shape == (2, *shape)
    assert images.abs().max() <= 1
    assert roles.critic()(images).shape == (2,)
    assert roles.critic(outputs=5)(images).shape == (2, 5)
    assert roles.encoder(4)(images).shape == (2, 4)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (3, 64, 64)])
def test_the_resnets_have_101_layers_at_any_size(shape: tuple[int, ...]) -> None:
    roles = roles_of("resnet101", shape)
    for network in (roles.generator(), roles.critic()):
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        assert len(layers) == 101
    assert sum(sizes(shape)) == 33
    assert max(sizes(shape)) - min(sizes(shape)) <= 1


def test_a_block_adds_three_tenths_of_its_branch_to_what_it_was_given() -> None:
    torch.manual_seed(0)
    block, x = Bottleneck(4, lambda _: nn.Identity()), torch.randn(3, 4, 8, 8)
    given = x.clone()
    first, second, third = (layer for layer in block.modules() if isinstance(layer, nn.Conv2d))
    expected = given + 0.3 * third(second(first(given.relu()).relu()).relu())
    torch.testing.assert_close(block(x), expected)
    assert torch.equal(x, given), "no ReLU is in place"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_they_obey_labels_and_hand_them_to_the_critic(architecture: str) -> None:
    roles = roles_of(architecture, labels=3)
    rows = torch.eye(3)
    pairs = roles.generator()(torch.cat([torch.zeros(3, 3), rows], dim=1))
    assert torch.equal(pairs[:, 1:], rows[:, :, None, None].expand(-1, -1, 8, 8))
    own = without(pairs, 3)
    assert not torch.allclose(own[0], own[1]), "a label counts"
    assert roles.critic()(pairs).shape == (3,)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("changed", "asked", "rows"),
    [({}, {"heads": 2}, 2), ({"generator.mixture": 2}, {}, 2), ({}, {"codes": 2}, 2),
     ({"generator.virtual_batch_norm": True}, {}, 0)],
    ids=["generators", "mixture", "codes", "virtual batch norm"],
)  # fmt: skip
def test_a_generator_may_have_what_dcgans_may_have(
    architecture: str, changed: dict[str, Any], asked: dict[str, int], rows: int
) -> None:
    generator = roles_of(architecture, **changed).generator(**asked)
    assert generator.branches == rows
    latent = torch.randn(1, 3).expand(2, -1)
    images = generator(torch.cat([latent, torch.eye(2)[:, :rows]], dim=1))
    assert images.shape == (2, 1, 8, 8)
    assert torch.allclose(images[0], images[1]) == (rows == 0), "a branch makes a sample of its own"


@pytest.mark.parametrize(
    ("architecture", "variant", "changed"),
    [
        ("resnet101", "wgan-gp", {"critic.norm": "layer"}),
        ("resnet101", "cgan", {"critic.norm": "spectral", "r1": 1.0}),
        ("mlp", "dcgan", {}),
        ("mlp", "mad-gan", {"critic.minibatch_discrimination": True}),
    ],
    ids=str,
)
def test_games_are_played_on_them_and_go_on_exactly(
    tmp_path: Path, architecture: str, variant: str, changed: dict[str, Any]
) -> None:
    config = configured(variant, **{"model.architecture": architecture, "n_critic": 1, **changed})
    data = data_of("image", variant)
    training = begin(config, data)
    before = weights(training)
    assert all(value.isfinite() for terms in rounds(training, config, data, 1) for value in terms.values())
    for player, after in weights(training).items():
        assert any(not torch.equal(one, other) for one, other in zip(before[player], after, strict=True)), player
    assert_same(stopped_and_continued(config, data, tmp_path), undisturbed(config, data))


@pytest.mark.parametrize("kind", ["text", "points"])
def test_other_data_has_networks_of_its_own(kind: Kind) -> None:
    with pytest.raises(ConfigurationError, match=rf"model\.architecture = mlp is .* and this is {kind}, which has"):
        begin(configured(**{"model.architecture": "mlp"}), data_of(kind))


@pytest.mark.parametrize(
    ("variant", "changed", "why"),
    [
        ("pix2pix", {"data.pair": "edges"}, r"data\.pair = edges, where"),
        ("lapgan", {}, "variant lapgan, which has"),
        ("gawwn", {}, "variant gawwn, which has"),
    ],
)
def test_variants_with_networks_of_their_own_take_no_others(variant: str, changed: dict[str, Any], why: str) -> None:
    config = configured(variant, **{"model.architecture": "resnet101", **changed})
    with pytest.raises(ConfigurationError, match=why):
        Roles("image", (2, 8, 8), config, 1)
