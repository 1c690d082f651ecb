"""Games of images made from pictures: their terms by hand, the pool of CycleGAN, and what cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import (
    Memory,
    assert_same,
    begin,
    configured,
    data_of,
    rounds,
    stopped_and_continued,
    undisturbed,
)
from torch import Tensor, nn
from torch.nn.functional import softplus

from model.errors import ConfigurationError
from training.catalogue import CATALOGUE
from training.data.pairs import shrink
from training.divergences import least_squares, non_saturating
from training.game import Batch, Game
from training.games.translation import POOL, Pool, cycle, translation
from training.networks.translators import Enlarger, PatchCritic, ResNet, Translator, UNet, dropped

SCORE = 0.25


class Times(Translator):
    """Pictures times a number, which is a weight."""

    def __init__(self, factor: float) -> None:
        super().__init__(shape=(1, 2, 2), latent=3, labels=1)
        self.factor = nn.Parameter(torch.tensor(factor))

    def outputs(self, latent: Tensor) -> Tensor:
        return self.factor * self.picture(latent)


class Constant(nn.Module):
    """The same score of all."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.tensor(SCORE))

    def forward(self, samples: Tensor) -> Tensor:
        return self.score.expand(len(samples))


def both_ways() -> Game:
    return cycle(*(Times(2.0), Times(3.0), Constant(), Constant()), least_squares(), there_and_back=10.0, identity=5.0)


def batch_of(images: Tensor, pictures: Tensor, number: int = 0) -> Batch:
    noise = torch.zeros(len(images), 3)
    latent = torch.cat([noise, pictures.flatten(1)], dim=1)
    mix = torch.linspace(0.1, 0.9, len(images))
    return Batch(torch.cat([images, pictures], dim=1), latent, mix, torch.tensor(number))


def constant(value: float) -> Tensor:
    return torch.full((4, 1, 2, 2), value)


def terms(game: Game, player: str, batch: Batch) -> dict[str, float]:
    return {name: value.item() for name, value in game.loss(player, batch)[1].items()}


def test_the_terms_of_cyclegan_are_what_they_are_by_hand() -> None:
    game = both_ways()
    batch = batch_of(images=constant(0.5), pictures=constant(0.1))
    # G = 2x and F = 3y: there and back is 6 times, of x = 0.1 and y = 0.5, so 5 x + 5 y apart.
    of_g, of_f = terms(game, "generator", batch), terms(game, "generator_back", batch)
    assert of_g == pytest.approx({"least_squares": 0.5 * 0.75**2, "cycle": 10 * 5 * 0.6, "identity": 5 * 0.5})
    assert of_f == pytest.approx({"least_squares": 0.5 * 0.75**2, "cycle": 10 * 5 * 0.6, "identity": 5 * 2 * 0.1})
    assert terms(game, "critic", batch) == pytest.approx({"least_squares": 0.5 * 0.75**2 + 0.5 * SCORE**2})


def test_no_term_of_cyclegan_knows_which_belong_together() -> None:
    game = both_ways()
    images, pictures = torch.rand(4, 1, 2, 2), torch.rand(4, 1, 2, 2)
    for player in ("generator", "generator_back"):
        one, other = (terms(game, player, batch_of(images, each)) for each in (pictures, pictures.roll(1, dims=0)))
        assert one == pytest.approx(other)


def test_l1_is_the_mean_distance_from_the_image_alone() -> None:
    content = {"l1": lambda made, image: 100 * (made - image).abs().mean()}
    game = translation(Times(2.0), Constant(), non_saturating, content=content)
    found = terms(game, "generator", batch_of(images=constant(0.5), pictures=constant(0.1)))
    assert found == pytest.approx({"l1": 100 * 0.3, "non_saturating": softplus(torch.tensor(-SCORE)).item()})
    config, data = configured("pix2pix", l1=7.0), data_of("image", "pix2pix")
    (played,) = rounds(begin(config, data), config, data, 1)
    (zero,) = rounds(begin(configured("pix2pix", l1=0.0), data), configured("pix2pix", l1=0.0), data, 1)
    assert played["generator/l1"] > 0 == zero["generator/l1"]


def test_srgan_hears_its_critic_after_the_rounds_of_content() -> None:
    config, data = configured("srgan", content_rounds=2, adversarial=0.5), data_of("image", "srgan")
    training = begin(config, data)
    heard = [float(each["generator/non_saturating"]) for each in rounds(training, config, data, 4)]
    assert heard[:2] == [0, 0]
    # A critic that knows nothing scores 0, of which the softplus is log 2.
    assert heard[2:] == pytest.approx([0.5 * 0.693] * 2, rel=0.1)


def pooled(size: int, *values: float) -> Pool:
    pool = Pool((1, 1, 1), size)
    pool.kept.copy_(torch.tensor(values).view(-1, 1, 1, 1))
    pool.count.fill_(size)
    return pool


def shown(pool: Pool, made: list[float], mix: list[float]) -> list[float]:
    return pool.shown(torch.tensor(made).view(-1, 1, 1, 1), torch.tensor(mix)).flatten().tolist()


def test_while_the_pool_fills_all_that_is_shown_is_new_and_enters_in_order() -> None:
    pool = Pool((1, 1, 1), 5)
    for made in ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]):
        assert shown(pool, made, [0.9] * 3) == made
        pool.take()
    assert pool.kept.flatten().tolist() == [1, 2, 3, 4, 5]
    assert int(pool.count) == 5


def test_half_of_the_mixes_bring_an_old_one_whose_place_the_new_one_takes() -> None:
    pool = pooled(4, 1.0, 2.0, 3.0, 4.0)
    # Below a half: the new one.  From there on a quarter of what is left for each of four places.
    assert shown(pool, [10.0, 20.0, 30.0, 40.0], [0.49, 0.5, 0.7, 0.999]) == [10, 1, 2, 4]
    assert pool.kept.flatten().tolist() == [1, 2, 3, 4], "nothing enters before the move is over"
    pool.take()
    assert pool.kept.flatten().tolist() == [20, 30, 3, 40]


def test_of_two_that_would_take_one_place_the_last_does() -> None:
    pool = pooled(2, 1.0, 2.0)
    assert shown(pool, [10.0, 20.0, 30.0], [0.6, 0.7, 0.1]) == [1, 1, 30]
    pool.take()
    assert pool.kept.flatten().tolist() == [20, 2]


def test_critics_learn_from_the_pool_and_a_run_with_a_full_one_resumes_exactly(tmp_path: Path) -> None:
    # Two moves of thirty fill it in the first round.
    config, data = configured("cyclegan", batch_size=30), data_of("image", "cyclegan")
    expected = undisturbed(config, data)
    assert_same(stopped_and_continued(config, data, tmp_path), expected)
    for pool in expected["memory"].values():
        assert int(pool["count"]) == POOL == len(pool["kept"])
        assert len(pool["kept"].flatten(1).unique(dim=0)) > POOL // 2


def test_the_latent_drops_channels_by_the_signs_of_its_coordinates() -> None:
    hidden, latent = torch.ones(2, 5, 1, 1), torch.tensor([[1.0, -1.0], [-0.1, 0.1]])
    assert dropped(hidden, latent).flatten(1).tolist() == [[2, 0, 2, 0, 2], [0, 2, 0, 2, 0]]


def test_the_noise_of_a_u_net_is_its_latent_and_others_have_none() -> None:
    torch.manual_seed(0)
    pictures, shape = torch.rand(3, 2 * 64), (3, 8, 8)
    for network, noisy in [
        (UNet(shape=shape, width=4, latent=6, labels=2), True),
        (ResNet(shape=shape, width=4, depth=1, latent=6, labels=2), False),
        (Enlarger(shape=shape, width=4, depth=1, latent=6, labels=2), False),
    ]:
        network.eval()
        first, second = (network(torch.cat([torch.randn(3, 6), pictures], dim=1)) for _ in range(2))
        assert first.shape == (3, 5, 8, 8)
        assert torch.equal(first[:, 3:], pictures.view(3, 2, 8, 8))
        assert torch.equal(first, second) is not noisy


@pytest.mark.parametrize("side", [8, 16, 64])
def test_translators_and_critics_of_patches_are_for_every_side(side: int) -> None:
    latent = torch.randn(2, 3 + side * side)
    shape = (1, side, side)
    for network in (
        UNet(shape=shape, width=2, latent=3, labels=1),
        Enlarger(shape=shape, width=2, depth=1, latent=3, labels=1),
        ResNet(shape=shape, width=2, depth=1, latent=3, labels=1),
    ):
        assert network(latent).shape == (2, 2, side, side)
    assert PatchCritic(shape=shape, width=2, labels=1)(torch.randn(2, 2, side, side)).shape == (2,)


def test_what_is_enlarged_is_the_small_picture_alone() -> None:
    network = Enlarger(shape=(1, 8, 8), width=4, depth=1, latent=3, labels=1).eval()
    images = torch.rand(2, 1, 8, 8)
    rows = torch.cat([torch.randn(2, 3), shrink(images).flatten(1)], dim=1)
    rows[:, 3 + 1 :: 2] += 1  # every second pixel, which is a repetition
    again = torch.cat([torch.randn(2, 3), shrink(images).flatten(1)], dim=1)
    assert torch.equal(network.outputs(rows), network.outputs(again))


def test_the_score_of_an_image_is_the_mean_of_those_of_its_patches() -> None:
    critic, images = PatchCritic(shape=(1, 16, 16), width=4, labels=1), torch.randn(3, 2, 16, 16)
    hidden = critic.layers[:-3](images)
    patches = critic.score(hidden.movedim(1, -1)).flatten(1)
    assert patches.shape == (3, 16)
    torch.testing.assert_close(critic(images), patches.mean(dim=1))


@pytest.mark.parametrize("variant", ["wgan-gp", "dcgan", "hinge-gan"])
def test_any_game_of_images_is_played_on_pairs(variant: str) -> None:
    config, data = configured(variant, **{"data.pair": "edges"}), data_of("image", "pix2pix")
    (played,) = rounds(begin(config, data), config, data, 1)
    assert all(torch.isfinite(value) for value in played.values())


def refusal(variant: str, data: Memory | None = None, **changed: Any) -> str:
    with pytest.raises(ConfigurationError) as error:
        begin(configured(variant, **changed), data or data_of("image", variant))
    return str(error.value)


@pytest.mark.parametrize("variant", ["pix2pix", "cyclegan", "srgan", "lapgan"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("critic.pack", 2),
        ("critic.minibatch_discrimination", True),
        ("generator.mixture", 3),
        ("generator.virtual_batch_norm", True),
        ("feature_matching", True),
        ("unrolled", 2),
    ],
)
def test_what_does_not_fit_games_of_pictures_is_refused(variant: str, key: str, value: object) -> None:
    told = refusal(variant, **{key: value})
    assert key in told
    assert variant in told


@pytest.mark.parametrize("variant", ["pix2pix", "cyclegan", "srgan"])
def test_without_pictures_they_are_refused(variant: str) -> None:
    told = refusal(variant, data_of("image"), **{"data.pair": None})
    assert told == f"variant {variant} makes images from pictures: say which by data.pair"


def test_the_rest_is_refused_with_the_reason() -> None:
    for variant in ("pix2pix", "srgan"):
        assert "under data.unpaired none does" in refusal(variant, **{"data.unpaired": True})
    assert "data.pair must be shrink, got edges" in refusal("srgan", **{"data.pair": "edges"})
    pairs = data_of("image", "pix2pix")
    assert "variant lapgan is told of no labels" in refusal("lapgan", pairs, **{"data.pair": "edges"})
    for variant, asked in [("mad-gan", {}), ("gan", {"generator.mixture": 3})]:
        assert "cannot be had with data.pair = edges" in refusal(variant, pairs, **{"data.pair": "edges", **asked})
    assert {"l1"} == set(CATALOGUE["pix2pix"].options)
