"""Games of texts and samples: their terms by hand, wrong texts that are wrong, boxes where they say."""

from __future__ import annotations

import math

import pytest
import torch
from small_runs import BOXED, begin, configured, data_of, rounds
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from model.branches import Branched
from model.errors import ConfigurationError
from training.conditions import Conditions, beside
from training.divergences import non_saturating
from training.game import Batch
from training.games.captioned import interpolated, matching, other_texts, wrong_text
from training.games.two_player import two_player
from training.networks.captioned import WhatWhereCritic, WhatWhereGenerator, crop, place

K = 3
MARKS = torch.eye(K)


class Noting(nn.Module):
    """A critic of points (N, D + K): the first coordinate and ten times the label's position.  It notes its samples."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[Tensor] = []

    def forward(self, samples: Tensor) -> Tensor:
        self.seen.append(samples.detach())
        return self.weight * (samples[:, 0] + 10 * samples[:, -K:].argmax(dim=1))


class Copying(Branched):
    """A generator whose point is its latent, beside its label."""

    def __init__(self) -> None:
        super().__init__(latent=2, labels=K)
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, latent: Tensor) -> Tensor:
        return self.weight * latent[:, :2] if not self.labels else beside(self.weight * latent[:, :2], latent[:, 2:])


def sp(x: float) -> float:
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def batch() -> Batch:
    """Scores of right pairs 0.5, 10.25, 19; under the next's label 10.5, 20.25, -1; fake ones 1, 12, 23."""
    real = beside(torch.tensor([[0.5, 0.0], [0.25, 0.0], [-1.0, 0.0]]), MARKS)
    latent = torch.cat([torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]), MARKS], dim=1)
    return Batch(real, latent, torch.full((3,), 0.5))


def test_the_three_terms_of_gan_cls_are_those_of_the_algorithm() -> None:
    game = two_player(Copying(), Noting(), matching(), critic_terms={"wrong_text": wrong_text(K, K)})
    _, terms = game.loss("critic", batch())
    right = (sp(-0.5) + sp(-10.25) + sp(-19.0)) / 3
    fake, wrong = (sp(1.0) + sp(12.0) + sp(23.0)) / 3, (sp(10.5) + sp(20.25) + sp(-1.0)) / 3
    assert terms["non_saturating"].item() == pytest.approx(right + fake / 2, rel=1e-6)
    assert terms["wrong_text"].item() == pytest.approx(wrong / 2, rel=1e-6)
    _, of_generator = game.loss("generator", batch())
    assert of_generator["non_saturating"].item() == pytest.approx((sp(-1.0) + sp(-12.0) + sp(-23.0)) / 3, rel=1e-6)


def test_smoothing_moves_the_target_of_right_pairs_alone() -> None:
    real, fake = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 0.0])
    smooth = matching(0.9).critic(real, fake) - matching().critic(real, fake)
    assert smooth.item() == pytest.approx(0.1 * (0.5 - 1.0) / 2, rel=1e-5)


def test_wrong_texts_are_others_and_those_of_the_batch() -> None:
    torch.manual_seed(0)
    texts = MARKS[torch.randint(K, (40,))]
    others, found = other_texts(texts)
    assert found.all()
    assert (others != texts).any(dim=1).all()
    assert ((others.unsqueeze(1) == texts).all(dim=2)).any(dim=1).all()


def test_a_batch_of_one_text_has_no_wrong_ones_and_a_term_of_nothing() -> None:
    texts = MARKS[[1, 1, 1]]
    others, found = other_texts(texts)
    assert not found.any()
    assert torch.equal(others, texts)
    critic = Noting()
    term = wrong_text(K, K)(critic, beside(torch.randn(3, 2), texts), torch.empty(0), torch.empty(0))
    assert term.item() == 0
    assert wrong_text(K, K)(critic, beside(torch.randn(1, 2), texts[:1]), torch.empty(0), torch.empty(0)).item() == 0


def test_a_wrong_text_stands_beside_the_own_sample_and_its_own_box() -> None:
    critic, real = Noting(), batch().real
    wrong_text(K, 2)(critic, real, torch.empty(0), torch.empty(0))
    (seen,) = critic.seen
    assert torch.equal(seen[:, :2], real[:, :2])
    assert torch.equal(seen[:, 2:4], real[[1, 2, 0], 2:4])
    assert torch.equal(seen[:, 4:], real[:, 4:])


def test_gan_int_shows_the_generator_texts_between_two_and_the_critic_none() -> None:
    critic = Noting()
    plain = two_player(Copying(), critic, non_saturating)
    game = interpolated(plain)
    _, terms = game.loss("generator", batch())
    between, _ = critic.seen
    assert torch.equal(between[:, 2:], (MARKS + MARKS[[1, 2, 0]]) / 2)
    assert torch.equal(between[:, :2], batch().latent[:, :2])
    assert terms["between"].item() == pytest.approx(non_saturating.generator(critic(between)).item())
    assert terms["non_saturating"].item() == plain.loss("generator", batch())[1]["non_saturating"].item()
    assert game.objective["critic"] is plain.objective["critic"]


@pytest.mark.parametrize(
    ("variant", "of_critic", "of_generator"),
    [
        ("gan-cls", {"non_saturating", "wrong_text"}, {"non_saturating"}),
        ("gan-int", {"non_saturating"}, {"non_saturating", "between"}),
        ("gan-int-cls", {"non_saturating", "wrong_text"}, {"non_saturating", "between"}),
        ("gawwn", {"non_saturating", "wrong_text"}, {"non_saturating"}),
    ],
)
def test_each_variant_has_the_terms_of_its_paper(variant: str, of_critic: set[str], of_generator: set[str]) -> None:
    config, data = configured(variant), data_of("image", variant)
    (terms,) = rounds(begin(config, data), config, data, 1)
    for player, named in (("critic", of_critic), ("generator", of_generator)):
        assert {name.partition("/")[2] for name in terms if name.startswith(player)} == named


def boxes(n: int) -> Tensor:
    low = 0.5 * torch.rand(n, 2, dtype=torch.float64)
    return torch.cat([low, low + 0.1 + 0.4 * torch.rand(n, 2, dtype=torch.float64)], dim=1)


@pytest.mark.parametrize(("inner", "outer"), [(8, 16), (1, 8), (4, 8)])
def test_the_transformer_is_that_of_torch(inner: int, outer: int) -> None:
    torch.manual_seed(0)
    box = boxes(5)
    size, centre = box[:, 2:] - box[:, :2], box[:, :2] + box[:, 2:] - 1
    patch, image = (torch.randn(5, 3, side, side, dtype=torch.float64) for side in (inner, outer))

    def transformed(scale: Tensor, shift: Tensor, given: Tensor, side: int) -> Tensor:
        theta = torch.cat([torch.diag_embed(scale), shift.unsqueeze(2)], dim=2)
        return grid_sample(given, affine_grid(theta, [5, 3, side, side], align_corners=False), align_corners=False)

    torch.testing.assert_close(place(patch, box, outer), transformed(1 / size, -centre / size, patch, outer))
    torch.testing.assert_close(crop(image, box, inner), transformed(size, centre, image, inner))


def test_a_patch_stands_where_its_box_says_and_is_cut_out_again() -> None:
    patch, box = torch.rand(1, 2, 4, 4) + 1, torch.tensor([[0.25, 0.5, 0.75, 1.0]])  # columns 2 to 5, rows 4 to 7 of 8
    placed, expected = place(patch, box, 8), torch.zeros(1, 2, 8, 8)
    expected[:, :, 4:, 2:6] = patch
    torch.testing.assert_close(placed, expected)
    torch.testing.assert_close(crop(placed, box, 4), patch)


def test_an_empty_box_divides_by_nothing() -> None:
    box = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    assert place(torch.ones(1, 1, 4, 4), box, 8).isfinite().all()
    assert crop(torch.ones(1, 1, 8, 8), box, 4).isfinite().all()


def test_the_transformer_has_second_derivatives() -> None:
    torch.manual_seed(0)
    patch, box = torch.randn(2, 1, 2, 2, dtype=torch.float64, requires_grad=True), boxes(2)
    assert torch.autograd.gradgradcheck(lambda x: place(x.square(), box, 4), (patch,))


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_networks_of_boxes_take_images_of_every_side(side: int) -> None:
    generator = WhatWhereGenerator(shape=(3, side, side), width=4, latent=2, words=K)
    critic = WhatWhereCritic(shape=(3, side, side), width=4, words=K)
    rows = torch.cat([torch.randn(5, 2), MARKS[[0, 1, 2, 0, 1]], boxes(5).float()], dim=1)
    made = generator(rows)
    assert made.shape == (5, 3 + K + 4, side, side)
    torch.testing.assert_close(Conditions(K + 4).of(made), rows[:, 2:])
    assert critic(made).shape == (5,)


@pytest.mark.parametrize(
    ("variant", "changed", "told"),
    [
        ("gan-cls", {}, "variant gan-cls needs texts"),
        ("gan-int", {}, "variant gan-int needs texts"),
        ("gan-int-cls", {}, "variant gan-int-cls needs texts"),
        ("gawwn", {}, "variant gawwn needs texts and boxes"),
    ],
)
def test_without_texts_they_are_refused(variant: str, changed: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        begin(configured(variant, **changed), data_of("image"))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("data.boxes", False, "needs texts and boxes: learn builtin:shapes with data.boxes = true"),
        ("generator.virtual_batch_norm", True, "has a generator of its own"),
    ],
)
def test_gawwn_refuses_what_it_cannot_have(key: str, value: object, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        begin(configured("gawwn", **{key: value}), data_of("image", "gawwn"))


def test_gawwn_plays_with_a_critic_that_compares_and_has_a_norm() -> None:
    changed = {"critic.minibatch_discrimination": True, "critic.norm": "spectral", "feature_matching": True, "r1": 1.0}
    config, data = configured("gawwn", **changed), data_of("image", "gawwn")
    assert len(BOXED) == data.conditions.channels
    for terms in rounds(begin(config, data), config, data, 2):
        assert all(value.isfinite() for value in terms.values())
