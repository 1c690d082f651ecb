"""A Laplacian pyramid: its bands give an image back, and each level plays a game of its own."""

from __future__ import annotations

import pytest
import torch
from small_runs import begin, configured, data_of
from torch import nn
from torch.nn.functional import softplus

from model.errors import ConfigurationError
from training.divergences import non_saturating
from training.game import Batch
from training.games.pyramid import pyramid
from training.loop import Draws
from training.networks.pyramid import Generator, bands, coarsest, critics, down, seen, up


def whole(side: int, channels: int = 1) -> torch.Tensor:
    """Images of whole numbers, of which sums and means of a pyramid are exact."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-8, 9, (3, channels, side, side), generator=generator).double()


@pytest.mark.parametrize("side", [8, 16, 32])
def test_band_pass_and_low_pass_give_every_level_back_exactly(side: int) -> None:
    images = whole(side, channels=2)
    levels = bands(images)
    assert [len(levels), *(band.shape[-1] for band, _ in levels)] == {
        8: [1, 8],
        16: [2, 8, 16],
        32: [3, 8, 16, 32],
    }[side]
    made = coarsest(images)
    for band, low in levels:
        assert torch.equal(low, up(made))
        made = up(made) + band
    assert torch.equal(made, images)


def test_a_flat_image_has_no_band() -> None:
    (band, low), *_ = bands(torch.full((1, 1, 8, 8), 0.5))
    assert torch.equal(low, torch.full((1, 1, 8, 8), 0.5))
    assert not band.any()
    assert down(torch.tensor([[1.0, 3.0], [5.0, 7.0]]).view(1, 1, 2, 2)).item() == 4


def silent(generator: Generator) -> Generator:
    """Its bands are all 0."""
    for band in generator.bands:
        last = band.layers[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return generator


def test_samples_are_made_from_coarse_to_fine_each_level_with_noise_of_its_own() -> None:
    torch.manual_seed(0)
    generator, latent = Generator(shape=(2, 16, 16), width=4, latent=7), torch.randn(3, 7)
    first, second, third = generator.noises(latent)
    assert [part.shape[1] for part in (first, second, third)] == [3, 2, 2]
    made = generator.first(first)
    for band, noise in zip(generator.bands, (second, third), strict=True):
        made = up(made) + band(noise, up(made))
    assert torch.equal(generator(latent), made)
    assert made.shape == (3, 2, 16, 16)
    assert torch.equal(silent(generator)(latent), up(up(generator.first(first))))


def test_every_level_is_trained_on_the_low_pass_of_real_images() -> None:
    generator, images = Generator(shape=(1, 16, 16), width=4, latent=3), torch.randn(5, 1, 16, 16)
    made, real = generator.levels(torch.randn(5, 3), images), seen(images)
    assert [level.shape for level in made] == [level.shape for level in real]
    for of_made, of_real in zip(made[1:], real[1:], strict=True):
        assert torch.equal(of_made[:, 1:], of_real[:, 1:])
        assert not torch.equal(of_made[:, :1], of_real[:, :1])


def test_what_is_minimised_is_the_sum_of_the_levels_and_none_moves_another() -> None:
    torch.manual_seed(0)
    generator = Generator(shape=(1, 16, 16), width=4, latent=6)
    judging = critics(shape=(1, 16, 16), width=4, norm="none")
    game = pyramid(generator, judging, non_saturating)
    images, latent = torch.randn(4, 1, 16, 16), torch.randn(4, 6)
    batch = Batch(images, latent, torch.rand(4))
    loss, terms = game.loss("generator", batch)
    by_hand = [
        softplus(-critic(level)).mean() for critic, level in zip(judging, generator.levels(latent, images), strict=True)
    ]
    assert list(terms) == ["non_saturating_4", "non_saturating_8", "non_saturating_16"]
    torch.testing.assert_close(loss, sum(by_hand))
    parts = [generator.first, *generator.bands]
    for i, term in enumerate(terms.values()):
        for j, part in enumerate(parts):
            found = torch.autograd.grad(term, list(part.parameters()), retain_graph=True, allow_unused=True)
            assert any(each is not None and each.any() for each in found) is (i == j)


def test_slopes_of_every_level_are_penalised_where_that_is_asked_for() -> None:
    config, data = configured("lapgan", r1=1.0), data_of("image")
    training = begin(config, data)
    _, terms = training.game.loss("critic", Draws.of(training, data, config, torch.device("cpu")).batch(0, 0))
    assert {"r1_4", "r1_8"} <= terms.keys()


def test_a_latent_without_a_coordinate_for_each_level_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"model\.latent must be at least 2, .* got 1"):
        begin(configured("lapgan", **{"model.latent": 1}), data_of("image"))
