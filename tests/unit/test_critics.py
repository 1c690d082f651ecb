"""Critics of every kind of data as configured: what they give, what keeps their samples apart, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import Memory, assert_same, begin, configured, data_of, rounds, stopped_and_continued, undisturbed
from torch import Tensor, nn

from model.errors import ConfigurationError
from training.cures import packed
from training.data.dataset import Dataset, Kind
from training.networks.roles import Roles

NORMS = ("none", "batch", "layer", "instance", "weight", "spectral")
OPTIONS: list[dict[str, Any]] = [
    *({"critic.norm": norm} for norm in NORMS),
    {"critic.minibatch_discrimination": True},
    {"critic.pack": 2},
    {"critic.norm": "spectral", "critic.minibatch_discrimination": True, "critic.pack": 3},
]
EVERY = [
    (kind, asked)
    for kind in ("text", "points", "image")
    for asked in OPTIONS
    if not (kind == "points" and asked.get("critic.norm") == "instance")
]
PENALISED = [(kind, asked) for kind, asked in EVERY if asked.get("critic.norm") != "batch"]


def critic_on(data: Dataset, outputs: int = 0, **changed: Any) -> nn.Module:
    """A critic with norms that do something: scales and offsets as they may be after training."""
    torch.manual_seed(0)
    critic = Roles(data.kind, data.shape, configured(**changed), len(data.labels)).critic(outputs)
    for name, parameter in critic.named_parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, mean=0.0 if name.endswith("bias") else 1.0, std=0.3)
    return critic


def samples_of(kind: Kind, asked: dict[str, Any]) -> Tensor:
    """Six of them, in packs where it is asked for those."""
    data = data_of(kind)
    assert isinstance(data, Memory)
    return packed(data.samples[:6], asked.get("critic.pack", 1), kind)


@pytest.mark.parametrize(("kind", "asked"), EVERY, ids=str)
@pytest.mark.parametrize("outputs", [0, 1, 5])
def test_it_reads_its_own_features(kind: Kind, asked: dict[str, Any], outputs: int) -> None:
    critic, samples = critic_on(data_of(kind), outputs, **asked), samples_of(kind, asked)
    features = critic.features(samples)
    assert features.dim() == 2
    found = critic(samples)
    assert found.shape == (len(samples), *([outputs] if outputs else []))
    torch.testing.assert_close(critic.read(features), found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "asked"), EVERY, ids=str)
def test_only_batch_norm_and_minibatch_discrimination_look_at_other_samples(kind: Kind, asked: dict[str, Any]) -> None:
    if kind == "image" and asked.get("critic.norm") == "batch":
        asked = {**asked, "model.width": 3}
        data: Dataset = Memory("image", torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(1)))
        assert isinstance(data, Memory)
        samples = data.samples
    else:
        data, samples = data_of(kind), samples_of(kind, asked)
    critic = critic_on(data, **asked)
    other = samples.clone()
    other[1:] = other[1:].flip(1) + 0.5
    alike = torch.allclose(critic(samples)[0], critic(other)[0], rtol=1e-5, atol=1e-6)
    looks = asked.get("critic.norm") == "batch" or asked.get("critic.minibatch_discrimination", False)
    assert alike is not looks


@pytest.mark.parametrize("kind", ["text", "points", "image"])
def test_layer_norm_is_over_all_of_a_sample_with_a_scale_and_an_offset_a_channel(kind: Kind) -> None:
    critic = critic_on(data_of(kind), **{"critic.norm": "layer"})
    layer = next(module for module in critic.modules() if isinstance(module, nn.GroupNorm))
    channels = layer.num_channels
    x = torch.randn((3, channels) if kind == "points" else (3, channels, 5))
    mean, variance = (f(x.flatten(1)).view(3, *[1] * (x.dim() - 1)) for f in (row_mean, row_variance))
    scale, offset = (t.view(1, -1, *[1] * (x.dim() - 2)) for t in (layer.weight, layer.bias))
    torch.testing.assert_close(layer(x), scale * (x - mean) / (variance + 1e-5).sqrt() + offset)


def row_mean(x: Tensor) -> Tensor:
    return x.mean(dim=1)


def row_variance(x: Tensor) -> Tensor:
    return x.var(dim=1, unbiased=False)


@pytest.mark.parametrize("kind", ["text", "image"])
def test_instance_norm_is_over_the_places_of_each_channel(kind: Kind) -> None:
    critic = critic_on(data_of(kind), **{"critic.norm": "instance"})
    layer = next(module for module in critic.modules() if isinstance(module, nn.GroupNorm))
    x = torch.randn(3, layer.num_channels, 7)
    expected = nn.functional.instance_norm(x) * layer.weight[:, None] + layer.bias[:, None]
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(("kind", "asked"), EVERY, ids=str)
def test_a_run_that_was_stopped_and_continued_equals_an_undisturbed_one(
    tmp_path: Path, kind: Kind, asked: dict[str, Any]
) -> None:
    config = configured("gan" if asked.get("critic.norm") == "batch" else "wgan-gp", **asked)
    data = data_of(kind)
    assert_same(stopped_and_continued(config, data, tmp_path), undisturbed(config, data))


@pytest.mark.parametrize(("kind", "asked"), PENALISED, ids=str)
@pytest.mark.parametrize(
    "changed", [{"precision": "bf16"}, {"update": "consensus"}, {"unrolled": 2, "unrolled_lr": 1e-4}], ids=str
)
def test_it_is_played_in_bf16_and_under_rules_that_differentiate_twice(
    kind: Kind, asked: dict[str, Any], changed: dict[str, Any]
) -> None:
    config, data = configured(**asked, **changed, batch_size=12), data_of(kind)
    for terms in rounds(begin(config, data), config, data, 2):
        assert all(torch.isfinite(value) for value in terms.values())


@pytest.mark.parametrize(
    ("kind", "shape", "asked", "message"),
    [
        ("points", (2,), {"critic.norm": "instance"}, "the places of a channel, .* ask for critic.norm = layer"),
        ("text", (1, 6), {"critic.norm": "instance"}, "the places of a channel"),
        ("points", (2,), {"critic.norm": "layer", "model.width": 1}, "with model.width = 1 it has a single number"),
        ("text", (1, 6), {"critic.norm": "layer", "model.width": 1}, "ask for critic.norm = none"),
        ("points", (2,), {"critic.norm": "batch", "critic.pack": 6}, "a channel of a batch"),
    ],
)
def test_a_norm_of_a_single_number_is_refused(kind: Kind, shape: tuple[int, ...], asked: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Roles(kind, shape, configured("gan", **asked)).critic()


def test_batch_norm_of_images_leaves_the_first_layer_alone_and_others_do_not() -> None:
    data = Memory("image", torch.zeros(4, 1, 16, 16))
    batch, layer = (critic_on(data, **{"critic.norm": norm}) for norm in ("batch", "layer"))
    assert [type(module).__name__ for module in batch.layers[:3]] == ["Conv2d", "LeakyReLU", "Conv2d"]
    assert [type(module).__name__ for module in layer.layers[:3]] == ["Conv2d", "GroupNorm", "LeakyReLU"]


def test_a_conditional_critic_keeps_its_labels_under_every_option() -> None:
    labels = 3
    roles = Roles("text", (5, 6), configured(**{"critic.minibatch_discrimination": True}), labels)
    critic = roles.critic()
    assert critic.labels == labels
    assert critic(torch.rand(4, 5, 6)).shape == (4,)
