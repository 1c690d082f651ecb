"""What a critic is shown: samples in packs, and noise that fades; the same of real ones and of generated ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_games import Watched
from small_runs import configured, data_of
from torch import Tensor, nn

from model.errors import ConfigurationError
from training.cures import annealed, check_packs, noised, packed, sight
from training.data.dataset import Kind
from training.divergences import wasserstein
from training.game import Batch
from training.games.two_player import plainly, two_player

KINDS: list[Kind] = ["text", "points", "image"]


def batch_of(kind: Kind, n: int = 6, number: int = 0) -> Batch:
    real = data_of(kind).samples[:n]
    return Batch(real, torch.zeros(n, 3), torch.arange(n) / n, torch.tensor(number))


class Same(nn.Module):
    """Makes one sample for all latents."""

    def __init__(self, sample: Tensor) -> None:
        super().__init__()
        self.at = nn.Parameter(sample.clone())

    def forward(self, latent: Tensor) -> Tensor:
        return self.at.expand(len(latent), *self.at.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pack_is_its_samples_one_after_the_other_along_the_channels(kind: Kind) -> None:
    samples = data_of(kind).samples[:6]
    axis = {"text": 1, "points": 0, "image": 0}[kind]
    by_hand = [torch.cat([samples[i], samples[i + 1], samples[i + 2]], dim=axis) for i in (0, 3)]
    assert torch.equal(packed(samples, 3, kind), torch.stack(by_hand))


@pytest.mark.parametrize("kind", KINDS)
def test_packs_of_one_are_the_samples(kind: Kind) -> None:
    samples = data_of(kind).samples[:5]
    assert packed(samples, 1, kind) is samples
    assert sight(configured(), kind) is plainly


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_critic_is_shown_packs_of_real_and_of_generated_samples_alike(kind: Kind, apart: bool) -> None:
    batch, critic, asked = batch_of(kind), Watched(), list[tuple[Tensor, Tensor, Tensor]]()

    def term(of: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
        asked.append((real, fake, mix))
        return real.new_zeros(())

    generator = Same(batch.real[0])
    see = sight(configured(**{"critic.pack": 2}), kind)
    game = two_player(generator, critic, wasserstein, critic_terms={"asked": term}, apart=apart, see=see)
    game.loss("critic", batch)
    game.loss("generator", batch)
    real, fake = packed(batch.real, 2, kind), packed(batch.real[:1].expand_as(batch.real), 2, kind)
    assert torch.equal(torch.cat(critic.seen), torch.cat([real, fake, fake]))
    ((of_real, of_fake, mix),) = asked
    assert torch.equal(of_real, real)
    assert torch.equal(of_fake, fake)
    assert torch.equal(mix, batch.mix[::2]), "of every pack that of its first sample, whatever part a rank has"


def test_noise_has_its_variance_on_every_coordinate_and_none_in_common() -> None:
    torch.manual_seed(0)
    one, other = (noised(torch.zeros(20_000, 2), torch.tensor(0.3)) for _ in range(2))
    columns = torch.cat([one, other], dim=1).double()
    covariance = columns.T @ columns / len(columns)
    # The standard error of a variance is sqrt(2 / n) of it, of a covariance sqrt(1 / n).
    assert (covariance - 0.09 * torch.eye(4)).abs().max() < 4 * 0.09 * (2 / 20_000) ** 0.5
    assert columns.mean(dim=0).abs().max() < 4 * 0.3 / 20_000**0.5


@pytest.mark.parametrize("kind", KINDS)
def test_real_and_generated_samples_get_noise_of_one_law_in_independent_draws(kind: Kind) -> None:
    torch.manual_seed(0)
    batch, critic = batch_of(kind), Watched()
    see = sight(configured(instance_noise=0.5, instance_noise_rounds=10), kind)
    two_player(Same(batch.real[0]), critic, wasserstein, see=see).loss("critic", batch)
    fake = batch.real[:1].expand_as(batch.real)
    ours, theirs = (critic.seen[0] - torch.cat([batch.real, fake])).chunk(2)
    assert (ours - theirs).abs().min() > 0
    for noise in (ours, theirs):
        assert noise.std().item() == pytest.approx(0.5, rel=4 / (2 * noise.numel()) ** 0.5)


def test_noise_fades_along_a_line_to_exactly_nothing() -> None:
    deviations = [annealed(0.5, torch.tensor(number), 1000).item() for number in (0, 250, 999, 1000, 1001, 10**9)]
    assert deviations == pytest.approx([0.5, 0.375, 0.0005, 0, 0, 0], rel=1e-12)
    assert deviations[3:] == [0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_after_the_last_noisy_round_the_critic_sees_the_very_samples(kind: Kind) -> None:
    see = sight(configured(instance_noise=0.5, instance_noise_rounds=10), kind)
    for number, same in ((9, False), (10, True), (11, True)):
        batch = batch_of(kind, number=number)
        assert torch.equal(see(batch.real, batch), batch.real) == same


def test_noise_comes_before_packs() -> None:
    batch, both = batch_of("image"), {"instance_noise": 0.5, "critic.pack": 2}
    torch.manual_seed(3)
    seen = sight(configured(**both), "image")(batch.real, batch)
    torch.manual_seed(3)
    assert torch.equal(seen, packed(noised(batch.real, torch.tensor(0.5)), 2, "image"))


def test_labels_stay_without_noise() -> None:
    text = torch.cat([data_of("text").samples[:4], torch.eye(4).unsqueeze(1).expand(-1, 5, -1)], dim=2)
    batch = Batch(text, torch.zeros(4, 3), torch.zeros(4))
    seen = sight(configured(instance_noise=0.5), "text", labels=4)(text, batch)
    assert torch.equal(seen[..., 6:], text[..., 6:])
    assert (seen[..., :6] != text[..., :6]).all()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_noise_is_drawn_in_full_precision(dtype: torch.dtype, expected: torch.dtype) -> None:
    # In bf16 the noise of generated samples would be another law than that of real ones.
    assert noised(torch.zeros(4, 2, dtype=dtype), torch.tensor(0.1)).dtype == expected


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 6, "critic.pack": 4}, r"critic\.pack = 4 needs a multiple of 4 samples .* got 6"),
        ({"batch_size": 6, "critic.pack": 2, "update": "consensus"}, r"halves a batch, needs a multiple of 4 .* got 6"),
        (
            {"batch_size": 8, "critic.pack": 2, "update": "consensus", "consensus_estimator": "per-sample"},
            r"cannot be had with consensus_estimator = per-sample",
        ),
        ({"critic.pack": 2, "data.label": "country"}, r"cannot be had with labels: a pack would hold samples of"),
    ],
)
def test_packs_that_cannot_be_are_refused_with_the_reason(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sight(configured(**changed), "text")


@pytest.mark.parametrize("changed", [{}, {"update": "consensus", "consensus_estimator": "biased"}])
def test_a_whole_number_of_packs_is_played(changed: dict[str, Any]) -> None:
    batch = batch_of("text")
    assert sight(configured(**{"critic.pack": 3, **changed}), "text")(batch.real, batch).shape == (2, 5, 18)


def test_packs_must_fit_the_part_of_each_rank() -> None:
    config = configured(**{"critic.pack": 4, "batch_size": 12})
    check_packs(config, 12)
    with pytest.raises(ConfigurationError, match="of each rank, got 6: change batch_size, which counts those of all"):
        check_packs(config, 6)
