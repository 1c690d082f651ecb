"""Augmentation: what each of its moves does to an image, by which law, and that the generator learns through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from captured_rounds import Rounds
from small_games import Watched
from small_runs import (
    assert_same,
    begin,
    configured,
    data_of,
    lasting,
    rounds,
    stopped_and_continued,
    undisturbed,
    weights,
)
from torch import Tensor, nn

from model.errors import ConfigurationError
from training.augment import AUGMENTATIONS, augmented, color, cut, cutout, moved, translation
from training.conditions import beside
from training.configuration import Config
from training.cures import noised, packed, sight
from training.data.dataset import Kind
from training.divergences import wasserstein
from training.game import Batch
from training.games.two_player import two_player
from training.layering import parse_assignment, resolve

ALL = ("color", "translation", "cutout")
NONE = torch.zeros(1, dtype=torch.int64)


def images(n: int = 6, channels: int = 3, side: int = 16) -> Tensor:
    return torch.randn((n, channels, side, side), generator=torch.Generator().manual_seed(1)).tanh()


def at(value: int) -> Tensor:
    return torch.tensor([value])


def test_a_move_by_nothing_leaves_images_as_they_are() -> None:
    assert torch.equal(moved(images(1), NONE, NONE), images(1))


def test_a_move_brings_in_zeros_and_the_rest_of_the_image_whole() -> None:
    image = images(1)
    seen = moved(image, at(2), at(-3))
    assert torch.equal(seen[:, :, 2:, :-3], image[:, :, :-2, 3:])
    assert not seen[:, :, :2].any()
    assert not seen[:, :, :, -3:].any()


def test_a_rectangle_of_half_the_sides_is_cut_out_and_nothing_else_changes() -> None:
    image = images(1)
    seen = cut(image, at(3), at(5))
    kept = torch.ones(16, 16, dtype=torch.bool)
    kept[3:11, 5:13] = False
    assert torch.equal(seen, image * kept)
    assert (cut(image, at(-4), at(12)) == 0).sum() == 3 * 4 * 4  # what of it lies in the image


@pytest.mark.parametrize(("side", "most"), [(8, 1), (16, 2), (32, 4)])
def test_moves_go_up_to_an_eighth_of_the_side_either_way_all_as_often(side: int, most: int) -> None:
    torch.manual_seed(0)
    n = 4000
    image = torch.zeros(n, 1, side, side)
    image[:, :, side // 2, side // 2] = 1
    places = translation(image).flatten(2).argmax(dim=2).flatten()
    for shifts in (places // side - side // 2, places % side - side // 2):
        counts = torch.bincount(shifts + most, minlength=2 * most + 1)
        share = 1 / (2 * most + 1)
        assert len(counts) == 2 * most + 1
        assert (counts - n * share).abs().max() < 5 * (n * share) ** 0.5


def test_what_is_cut_out_is_centred_anywhere() -> None:
    torch.manual_seed(0)
    gone = (cutout(torch.ones(9000, 1, 8, 8)) == 0).sum(dim=(2, 3)).flatten()
    # 4 x 4, of which a centre at places 0, 1, ..., 8 of 8 leaves 2, 3, 4, 4, 4, 4, 4, 3, 2 rows.
    rows = torch.tensor([2, 3, 4, 4, 4, 4, 4, 3, 2.0])
    assert gone.float().mean().item() == pytest.approx(rows.mean().item() ** 2, rel=0.02)
    assert gone.max() == 16


def test_colours_are_shifted_and_stretched_about_means_within_the_papers_bounds() -> None:
    torch.manual_seed(0)
    image = images(1, side=8)
    seen = color(image.expand(3000, -1, -1, -1))
    shift = seen.mean(dim=(1, 2, 3)) - image.mean()
    assert shift.abs().max() < 0.5
    assert shift.std().item() == pytest.approx(12**-0.5, rel=0.05)
    # Brightness of all channels, by which saturation is measured, is stretched by contrast alone: 0.5 to 1.5.
    grey, grey_before = seen.mean(dim=1).flatten(1), image.mean(dim=1).flatten(1)
    contrast = grey.std(dim=1) / grey_before.std(dim=1)
    assert 0.5 < contrast.min() < 0.51 < 1.49 < contrast.max() < 1.5
    apart, before = seen - seen.mean(dim=1, keepdim=True), image - image.mean(dim=1, keepdim=True)
    saturation = apart.flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1) / contrast
    assert 0 <= saturation.min() < 0.01 < 1.99 < saturation.max() <= 2.0001


def test_an_image_of_one_channel_has_no_saturation_to_change() -> None:
    torch.manual_seed(0)
    image = images(50, channels=1).double()
    seen = color(image)
    contrast = (seen.flatten(1).std(dim=1) / image.flatten(1).std(dim=1)).view(-1, 1, 1, 1)
    centred = image - image.mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(seen - seen.mean(dim=(2, 3), keepdim=True), contrast * centred)


@pytest.mark.parametrize("name", ALL)
def test_every_image_draws_for_itself_and_the_same_again_by_the_same_seed(name: str) -> None:
    image = images(1).expand(20, -1, -1, -1)
    torch.manual_seed(3)
    first = AUGMENTATIONS[name](image, 0)
    assert len(first.flatten(1).unique(dim=0)) > 5
    torch.manual_seed(3)
    assert torch.equal(AUGMENTATIONS[name](image, 0), first)


@pytest.mark.parametrize("name", ALL)
def test_labels_stay_as_they_are(name: str) -> None:
    torch.manual_seed(0)
    labelled = beside(images(), torch.eye(4)[torch.arange(6) % 4])
    seen = AUGMENTATIONS[name](labelled, 4)
    assert torch.equal(seen[:, 3:], labelled[:, 3:])
    assert not torch.equal(seen[:, :3], labelled[:, :3])
    torch.manual_seed(0)
    assert torch.equal(seen[:, :3], AUGMENTATIONS[name](images(), 0)), "what a label does not change"


def test_a_picture_beside_an_image_goes_along_with_it_and_is_not_recoloured_or_cut() -> None:
    torch.manual_seed(0)
    pairs = torch.cat([images(), images()], dim=1)
    own, picture = translation(pairs, 3).chunk(2, dim=1)
    assert torch.equal(own[:, :, 2:-2, 2:-2], picture[:, :, 2:-2, 2:-2])
    assert not torch.equal(picture, images())
    for name in ("color", "cutout"):
        assert torch.equal(AUGMENTATIONS[name](pairs, 3)[:, 3:], images())


def test_they_come_in_the_order_in_which_they_are_asked_for_and_in_full_precision() -> None:
    torch.manual_seed(0)
    seen = augmented(images().bfloat16(), ("cutout", "color"))
    torch.manual_seed(0)
    assert torch.equal(seen, color(cutout(images().bfloat16().float())))
    assert augmented(images().double(), ALL).dtype == torch.float64


class Same(nn.Module):
    """Makes one image for all latents."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(image.clone())

    def forward(self, latent: Tensor) -> Tensor:
        return self.image.expand(len(latent), *self.image.shape)


def test_real_and_generated_images_are_seen_by_one_law_each_with_its_own_draw() -> None:
    torch.manual_seed(0)
    image, critic, n = images(1)[0], Watched(), 2000
    batch = Batch(image.expand(n, -1, -1, -1), torch.zeros(n, 3), torch.zeros(n))
    two_player(Same(image), critic, wasserstein, see=sight(configured(augment=ALL), "image")).loss("critic", batch)
    real, fake = critic.seen[0].chunk(2)
    assert not torch.equal(real, fake)
    for moment in (lambda x: x.mean(dim=0), lambda x: x.square().mean(dim=0)):
        spread = (real.var(dim=0) + real.square().var(dim=0) + 0.01).sqrt() * (2 / n) ** 0.5
        assert ((moment(real) - moment(fake)).abs() / spread).max() < 6


def test_the_generator_learns_through_what_the_critic_sees() -> None:
    torch.manual_seed(0)
    critic, generator = Watched(), Same(images(1)[0])
    batch = Batch(images(), torch.zeros(6, 3), torch.zeros(6))
    game = two_player(generator, critic, wasserstein, see=sight(configured(augment=ALL), "image"))
    loss, _ = game.loss("generator", batch)
    (gradient,) = torch.autograd.grad(loss, [generator.image])
    moved_only = sight(configured(augment="cutout"), "image")
    assert gradient.abs().sum() > 0
    torch.manual_seed(1)
    (of_cut,) = torch.autograd.grad(-moved_only(generator(batch.latent), batch).sum(), [generator.image])
    # Of each place as many times as it was not cut out.
    torch.manual_seed(1)
    assert torch.equal(of_cut, -cutout(torch.ones(6, 3, 16, 16)).sum(dim=0))


def test_it_comes_before_noise_and_packs() -> None:
    batch = Batch(images(), torch.zeros(6, 3), torch.zeros(6))
    both = configured(**{"augment": "color", "instance_noise": 0.5, "critic.pack": 2})
    torch.manual_seed(3)
    seen = sight(both, "image")(batch.real, batch)
    torch.manual_seed(3)
    assert torch.equal(seen, packed(noised(color(batch.real), torch.tensor(0.5)), 2, "image"))


@pytest.mark.parametrize(
    "changed",
    [
        {"variant": "wgan-gp"},
        {"variant": "gan", "r1": 1.0},
        {"variant": "dcgan"},
        {"variant": "cgan"},
        {"variant": "mad-gan"},
        {"variant": "wgan-gp", "update": "consensus"},
        {"variant": "gan", "update": "extragradient", "precision": "bf16"},
        {"variant": "gan", "unrolled": 2},
        {"variant": "gan", "feature_matching": True},
    ],
    ids=str,
)
def test_every_kind_of_game_plays_with_it_and_goes_on_exactly(tmp_path: Path, changed: dict[str, Any]) -> None:
    config, data = configured(augment=ALL, **changed), data_of("image", changed["variant"])
    training = begin(config, data)
    before = weights(training)
    assert all(value.isfinite() for terms in rounds(training, config, data, 2) for value in terms.values())
    for player, after in weights(training).items():
        assert any(not torch.equal(one, other) for one, other in zip(before[player], after, strict=True)), player
    assert_same(stopped_and_continued(config, data, tmp_path), undisturbed(config, data))


def test_what_is_drawn_on_the_device_is_not_captured() -> None:
    config, data = configured(augment=ALL), data_of("image")
    assert not Rounds(begin(config, data), config, data).captured


def test_nothing_is_augmented_unless_it_is_asked_for() -> None:
    config, data = configured(augment=""), data_of("image")
    assert config.augment == ()
    assert_same(undisturbed(config, data), undisturbed(configured(), data))
    assert lasting(begin(config, data))["round"] == 0


@pytest.mark.parametrize("asked", ["color,translation", "color, translation", ["color", "translation"]])
def test_they_are_named_in_one_text_or_in_a_list(asked: Any) -> None:
    assert configured(augment=asked).augment == ("color", "translation")
    key, value = parse_assignment("augment=color,translation")
    config, _ = resolve({"flag": {key: value}})
    assert Config.model_validate(config.model_dump(mode="json")).augment == ("color", "translation")


def test_one_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"augment.*'color', 'translation' or 'cutout', got 'colour'"):
        configured(augment="colour")


@pytest.mark.parametrize("kind", ["text", "points"])
def test_what_has_no_places_and_colours_is_refused(kind: Kind) -> None:
    with pytest.raises(ConfigurationError, match=rf"augment = color,cutout is of .* and {kind} has neither: leave it"):
        begin(configured(augment="color,cutout"), data_of(kind))
    with pytest.raises(ConfigurationError, match="critics of lapgan see parts of an image"):
        sight(configured("lapgan", augment="color"), "image")
    boxed = configured(**{"augment": "translation", "data.boxes": True})
    with pytest.raises(ConfigurationError, match="boxes would not move along: leave it out"):
        sight(boxed, "image", labels=4)
