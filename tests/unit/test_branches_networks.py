"""Branches of a generator: one-hot rows choose among heads or Gaussians, and weights that are shared are there once."""

from __future__ import annotations

from typing import Any

import pytest
import safetensors.torch
import torch
from small_runs import SIZE, assert_same, configured, data_of
from torch import Tensor

from model.branches import Branched, Mixture
from model.errors import ArtifactError, ConfigurationError
from model.labels import Labels
from training.average import Average
from training.configuration import Config
from training.data.dataset import Kind
from training.networks.roles import Roles

KINDS: list[Kind] = ["text", "points", "image"]
K, Z = 3, SIZE["model.latent"]


def generator_of(kind: Kind, *, heads: int = 0, shape: tuple[int, ...] | None = None, **changed: Any) -> Branched:
    torch.manual_seed(0)
    generator = Roles(kind, shape or data_of(kind).shape, configured(**changed)).generator(heads=heads)
    return generator.double().eval()


def rows(chosen: list[int], latent: Tensor | None = None) -> Tensor:
    """Latents, the same ones every time, with the one-hot rows of branches."""
    noise = torch.randn(len(chosen), Z, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.cat([noise if latent is None else latent, torch.eye(K, dtype=torch.float64)[chosen]], dim=1)


def owners(generator: Branched, latent: Tensor) -> set[str]:
    """The names of the parameters that have a part in the samples."""
    generator.zero_grad()
    generator(latent).square().sum().backward()
    return {name for name, p in generator.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_gives_the_sample_of_its_own_generator_exactly(kind: Kind) -> None:
    generator, chosen = generator_of(kind, heads=K), [0, 2, 1, 1, 0]
    each = generator.of_each(rows(chosen))
    assert each.shape == (K, 5, *data_of(kind).shape)
    assert torch.equal(generator(rows(chosen)), each[chosen, torch.arange(5)])
    assert not torch.allclose(each[0], each[1])


@pytest.mark.parametrize("kind", KINDS)
def test_what_each_generator_makes_depends_on_the_latents_alone(kind: Kind) -> None:
    generator = generator_of(kind, heads=K)
    assert torch.equal(generator.of_each(rows([0, 1, 2])), generator.of_each(rows([2, 0, 0])))


@pytest.mark.parametrize(
    ("kind", "shape", "shared"),
    [
        ("text", None, {"expand.weight", "expand.bias", "blocks.0.branch.1.weight", "blocks.0.branch.3.bias"}),
        ("points", None, {"layers.0.weight", "layers.0.bias"}),
        ("image", (1, 8, 8), {"expand.0.weight", "expand.2.weight"}),
        ("image", (1, 32, 32), {"expand.0.weight", "blocks.0.weight"}),
    ],
)
def test_generators_share_all_layers_but_the_last(kind: Kind, shape: tuple[int, ...] | None, shared: set[str]) -> None:
    generator = generator_of(kind, heads=K, shape=shape, **{"model.depth": 2, "model.width": 16})
    of_first, of_last = owners(generator, rows([0, 0, 0])), owners(generator, rows([2, 2, 2]))
    assert shared <= of_first & of_last
    assert of_first - of_last
    assert all(name.startswith("output.0.") for name in of_first - of_last)
    assert all(name.startswith("output.2.") for name in of_last - of_first)
    assert not any(name.startswith("output.") for name in of_first & of_last)


@pytest.mark.parametrize("kind", KINDS)
def test_without_branches_a_generator_is_what_it_was(kind: Kind) -> None:
    plain = generator_of(kind)
    assert (plain.branches, plain.form, plain.reference) == (0, {}, None)
    assert not any("mixture" in name or "output.0.block" in name for name in plain.state_dict())
    assert plain(rows([0, 1])[:, :Z]).shape == (2, *data_of(kind).shape)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_generators_share_are_averaged_saved_and_loaded_once(kind: Kind) -> None:
    generator = generator_of(kind, heads=K).float()
    tensors = [*generator.parameters(), *generator.buffers()]
    assert len({t.data_ptr() for t in tensors}) == len(tensors) == len(generator.state_dict())
    average = Average(generator, 0.75)
    before = [p.detach().clone() for p in average.module.parameters()]
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter += 1
    average.update(10**6)
    for old, new in zip(before, average.module.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)
    saved = safetensors.torch.load(safetensors.torch.save(dict(average.module.state_dict())))
    assert_same(saved, dict(average.module.state_dict()))


def test_a_mixture_is_its_mean_and_deviation_times_the_noise() -> None:
    mixture, noise = Mixture(K, Z).double(), rows([2, 0])[:, :Z]
    with torch.no_grad():
        mixture.deviation.uniform_(0.5, 2)
    found = mixture(noise, rows([2, 0])[:, Z:])
    expected = mixture.mean[[2, 0]] + mixture.deviation[[2, 0]] * noise
    assert torch.equal(found, expected)


def test_a_mixture_begins_as_that_of_its_authors() -> None:
    torch.manual_seed(0)
    mixture = Mixture(100, 100)
    assert (mixture.deviation == 0.2).all()
    assert mixture.mean.abs().max() <= 1
    # Uniform on (-1, 1): variance 1/3, whose estimate from 10,000 has the standard error 0.003.
    assert mixture.mean.var().item() == pytest.approx(1 / 3, abs=0.012)


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_makes_of_a_mixture_what_a_plain_one_makes_of_its_latents(kind: Kind) -> None:
    mixed, plain = generator_of(kind, **{"generator.mixture": K}), generator_of(kind)
    plain.load_state_dict({name: w for name, w in mixed.state_dict().items() if not name.startswith("mixture.")})
    assert mixed.mixture is not None
    latent = rows([1, 2, 0, 0])
    torch.testing.assert_close(mixed(latent), plain(mixed.mixture(latent[:, :Z], latent[:, Z:])), rtol=0, atol=0)
    assert (mixed.branches, mixed.form) == (K, {"mixture": K})
    own = {"mixture.mean", "mixture.deviation"}
    assert own <= owners(mixed, latent)


@pytest.mark.parametrize(
    ("changed", "labels", "told"),
    [
        ({"variant": "mad-gan", "generator.mixture": 2}, 0, "generator.mixture = 2 cannot be had with mad-gan: "),
        ({"variant": "mad-gan"}, 2, "mad-gan cannot be had with labels: "),
        ({"variant": "gan", "generator.mixture": 2}, 2, "generator.mixture = 2 cannot be had with labels: "),
    ],
)
def test_a_sample_that_would_be_of_two_branches_or_of_a_label_and_one_is_refused(
    changed: dict[str, Any], labels: int, told: str
) -> None:
    config: Config = configured(**changed)
    with pytest.raises(ConfigurationError, match=told):
        Roles("text", (5, 6 + labels), config, labels).generator(heads=2 if config.variant == "mad-gan" else 0)


def test_branches_are_labels_of_equal_shares_that_the_critic_does_not_take() -> None:
    labels = Labels.of_branches(4)
    assert labels.names == ("1", "2", "3", "4")
    assert labels.shares.tolist() == [0.25] * 4
    assert (len(labels), labels.channels) == (4, 0)
    again = Labels.from_json(labels.to_json(), "config.json")
    assert (again.names, again.judged, again.of_texts(["1", "4"], 2).shape) == (labels.names, False, (0,))
    assert again.of_texts([], 2).shape == (0,)
    with pytest.raises(ConfigurationError, match="no label of that name"):
        again.of_texts(["5"], 1)
    assert not Labels.of_branches(0)


def test_whether_labels_are_judged_is_true_or_false() -> None:
    with pytest.raises(ArtifactError, match=r"config.json: whether labels are judged must be true or false"):
        Labels.from_json({"names": ["1"], "shares": [1.0], "judged": "no"}, "config.json")


def test_labels_of_a_conditional_model_stay_judged() -> None:
    labels = Labels.from_json({"names": ["a", "b"], "shares": [0.5, 0.5]}, "config.json")
    assert (labels.judged, labels.channels) == (True, 2)
    assert "judged" not in labels.to_json()
