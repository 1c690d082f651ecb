"""Cures for mode collapse that work on any game: what its critic is shown, and further terms of what players minimise.

N batch, m samples in a pack; the other axes are the data's: (T, V) for text, (C, H, W) for images, (D,) for points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from model.errors import ConfigurationError
from training.augment import augmented
from training.conditions import channel_axis
from training.configuration import Config
from training.data.dataset import Kind
from training.game import Batch, Game, Terms
from training.games.two_player import See, plainly
from training.latents import keep_spread

# Variants that are nothing without the loss of their generators.
OWN_LOSS = (
    "mad-gan", "mad-gan-sim", "ac-gan", "infogan", "semi-supervised-gan", "pix2pix", "cyclegan",
    "srgan", "lapgan", "bigan", "ali", "aae", "avb", "gan-int", "gan-int-cls",
)  # fmt: skip
# Those whose critics see parts of an image as channels beside each other.
PARTS = ("lapgan",)


def sight(config: Config, kind: Kind, labels: int = 0) -> See:
    """What the configured critic is shown of real and of generated samples alike: augmented, noisy, and then in packs.

    labels: K, channels after those of a sample, which stay without noise.
    Raises ConfigurationError as ``check_packs`` does of a whole batch, if there are packs of samples with labels, or if
    what is no image is to be augmented.
    """
    check_packs(config, config.batch_size)
    _check_augmented(config, kind)
    pack, noise, end = config.critic.pack, config.instance_noise, config.instance_noise_rounds
    if pack > 1 and (labels or config.data.label is not None or config.data.condition):
        raise ConfigurationError(
            f"critic.pack = {pack} cannot be had with labels: a pack would hold samples of several, "
            "and the critic judges under one: ask for critic.pack = 1"
        )
    if pack == 1 and not noise and not config.augment:
        return plainly

    def see(samples: Tensor, batch: Batch) -> Tensor:
        seen = augmented(samples, config.augment, labels) if config.augment else samples
        seen = noised(seen, annealed(noise, batch.round, end), labels) if noise else seen
        return packed(seen, pack, kind)

    return see


def _check_augmented(config: Config, kind: Kind) -> None:
    """Raises ConfigurationError if what the critic sees has no places and colours of one image."""
    others = {
        f"{kind} has neither": kind != "image",
        f"critics of {config.variant} see parts of an image in those of one": config.variant in PARTS,
        "boxes would not move along": config.data.boxes and "translation" in config.augment,
    }
    if config.augment and (there := [name for name, given in others.items() if given]):
        raise ConfigurationError(
            f"augment = {','.join(config.augment)} is of the places and colours of an image, and {there[0]}: "
            "leave it out, or ask for instance_noise, which suits any data"
        )


def annealed(start: float, number: Tensor, end: int) -> Tensor:
    """From ``start`` in round 0 down a line to 0 in round ``end`` and after it, (), on the device of the number."""
    return start * (1 - number.double() / end).clamp(min=0)


def noised(samples: Tensor, deviation: Tensor, labels: int = 0) -> Tensor:
    """The samples and independent N(0, deviation^2) on each coordinate but the last K, in fp32 at least.

    What a critic tells apart is then of two laws that overlap everywhere.  Sonderby et al. 2017, section 2.3; Arjovsky
    and Bottou 2017, section 3.  Torch's generator draws it, which the loop sets anew for every turn.
    """
    dtype = torch.promote_types(samples.dtype, torch.float32)
    noise = torch.randn(samples.shape, dtype=dtype, device=samples.device)
    if labels:
        axis = channel_axis(noise)
        noise.narrow(axis, noise.shape[axis] - labels, labels).zero_()
    return samples + deviation * noise


def packed(samples: Tensor, pack: int, kind: Kind) -> Tensor:
    """Samples (N, ...) in packs of m that follow each other, (N/m, ...) with m times the channels.

    A critic that judges packs sees that generated ones are alike where real ones differ.  Lin et al. 2018, section 2.
    """
    if pack == 1:
        return samples
    companions = samples.reshape(-1, pack, *samples.shape[1:]).unbind(dim=1)
    return torch.cat(companions, dim=1 if kind == "image" else -1)


def check_packs(config: Config, samples: int) -> None:
    """Raises ConfigurationError if that many samples, which one process plays with at a time, do not fill packs."""
    pack = config.critic.pack
    if pack == 1:
        return
    consensus = config.consensus_estimator if config.update == "consensus" else ""
    if consensus in ("per-sample", "u-statistic"):
        raise ConfigurationError(
            f"critic.pack = {pack} cannot be had with consensus_estimator = {consensus}, which looks at one sample at "
            "a time: ask for unbiased or biased"
        )
    multiple = 2 * pack if consensus == "unbiased" else pack
    if samples % multiple:
        why = " under the unbiased consensus, which halves a batch," if multiple > pack else ""
        raise ConfigurationError(
            f"critic.pack = {pack}{why} needs a multiple of {multiple} samples in the batch of each rank, "
            f"got {samples}: change batch_size, which counts those of all ranks together"
        )


def cured(game: Game, config: Config, see: See = plainly) -> Game:
    """The game with the configured cures.  see: what its critic is shown.

    Raises ConfigurationError naming what a cure needs and the game has not.
    """
    instead = [key for key in ("feature_matching", "unrolled") if getattr(config, key)]
    if instead and config.variant in OWN_LOSS:
        raise ConfigurationError(
            f"{instead[0]} takes the place of the generator's loss, which is what makes {config.variant}: "
            "turn it off, or ask for another variant such as gan"
        )
    if len(instead) > 1:
        raise ConfigurationError(
            "feature_matching and unrolled both take the place of the generator's loss: ask for one"
        )
    if config.feature_matching:
        game = match_features(game, see)
    if config.unrolled:
        game = unroll(game, config.unrolled, config.unrolled_lr)
    if (mixture := getattr(game.players.get("generator"), "mixture", None)) is not None:
        game = keep_spread(game, mixture)
    return average_history(game, config.historical_averaging) if config.historical_averaging else game


def match_features(game: Game, see: See = plainly) -> Game:
    """The generator minimises ||E f(x) - E f(G(z))||^2 instead, f the critic's ``features``, (N, F).

    see: what the critic is shown.  Salimans et al. 2016, section 3.1.

    The means are those of a batch, here a rank's part of it.  The real samples are not those that the critic has just
    moved on, to which it is fitted: each turn has a batch of its own.  Where all players move on one batch, the
    generator looks at the critic before it moved on it.
    """
    _needs(game, "feature_matching", "generator", "critic")
    generator, critic = game.players["generator"], game.players["critic"]
    if not hasattr(critic, "features"):
        raise ConfigurationError("feature_matching needs a critic with features, and this game's has none: turn it off")

    def mean_features(samples: Tensor, batch: Batch) -> Tensor:
        features = cast(Callable[[Tensor], Tensor], critic.features)(see(samples, batch))
        return features.to(torch.promote_types(features.dtype, torch.float32)).mean(dim=0)

    def objective(batch: Batch) -> Terms:
        apart = mean_features(batch.real, batch) - mean_features(generator(batch.latent), batch)
        return {"feature_matching": apart.square().sum()}

    return replace(game, objective={**game.objective, "generator": objective})


class History(nn.Module):
    """The mean of all weights that a player has had, those it began with among them.

    count: of how many.
    """

    count: Tensor

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.register_buffer("count", torch.ones((), dtype=torch.int64))
        for i, weight in enumerate(weights):
            self.register_buffer(f"mean{i}", weight.detach().clone())

    def squared_distance(self, weights: Iterable[Tensor]) -> Tensor:
        """||theta - mean||^2, (), over all weights together."""
        return torch.stack([(weight - mean).square().sum() for weight, mean in self._pairs(weights)]).sum()

    @torch.no_grad()
    def take(self, weights: Iterable[Tensor]) -> None:
        """Let the mean be that of one more."""
        self.count += 1
        for weight, mean in self._pairs(weights):
            mean += (weight - mean) / self.count

    def _pairs(self, weights: Iterable[Tensor]) -> Iterable[tuple[Tensor, Tensor]]:
        _, *means = self.buffers()
        return zip(weights, means, strict=True)


def average_history(game: Game, weight: float) -> Game:
    """Every player also minimises weight * ||theta - mean of its past theta||^2.  Salimans et al. 2016, section 3.3.

    It is part of the loss and not a step of its own.  The past is that of all its moves, with where it began; the mean
    follows a move when that is over, projections included.
    """
    histories = {name: History(game.parameters(name)) for name in game.players}

    def objective(name: str) -> Callable[[Batch], Terms]:
        return lambda batch: {
            **game.objective[name](batch),
            "history": weight * histories[name].squared_distance(game.parameters(name)),
        }

    def project(name: str) -> Callable[[], None]:
        def follow() -> None:
            if name in game.project:
                game.project[name]()
            histories[name].take(game.parameters(name))

        return follow

    return replace(
        game,
        objective={name: objective(name) for name in game.players},
        project={name: project(name) for name in game.players},
        memory={**game.memory, **{f"history of {name}": history for name, history in histories.items()}},
    )


def unroll(game: Game, steps: int, lr: float) -> Game:
    """The generator maximises the critic's whole loss as it will be after k steps of the critic, and through them.

    phi_(i+1) = phi_i - lr * grad of the critic's loss L on the same batch, from the critic's weights; the generator
    minimises -L(phi_k), which is what -L is at phi_0 without.  It so sees what the critic will answer.  The critic is
    not moved by that, nor what it counts in buffers.  Each rank looks ahead on its part of the batch.
    Metz et al. 2017, Eq. 7, 8 and 10.

    All of L, the part of the real samples as well, although the generator has none in it: phi_k depends on the
    generator in both, and the parts cancel where it makes the data.  Its own loss at phi_k would not be still there.

    A departure: the authors' code takes Adam's steps.  Without the optimiser's memory these are signs of the gradient,
    through which nothing is differentiated.
    """
    _needs(game, "unrolled", "generator", "critic")
    if steps == 0:
        return game
    critic = game.players["critic"]
    loss_of_critic = _Loss(game, "critic")

    def objective(batch: Batch) -> Terms:
        # A critic that is frozen while the generator moves gets new leaves; one that is not is differentiated too.
        weights = {
            f"players.critic.{name}": weight if weight.requires_grad else weight.detach().requires_grad_()
            for name, weight in critic.named_parameters()
        }
        for _ in range(steps):
            loss = functional_call(loss_of_critic, weights | loss_of_critic.copied_buffers(), (batch,))
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {name: weights[name] - lr * by for name, by in zip(weights, gradients, strict=True)}
        counted = loss_of_critic.copied_buffers("players.critic.")
        return {"unrolled": -functional_call(loss_of_critic, weights | counted, (batch,))}

    return replace(game, objective={**game.objective, "generator": objective})


class _Loss(nn.Module):
    """A player's loss as a module with all players in it, so that it can be asked for at other weights than theirs."""

    def __init__(self, game: Game, player: str) -> None:
        super().__init__()
        self.players = nn.ModuleDict(game.players)
        self._game, self._player = game, player

    def forward(self, batch: Batch) -> Tensor:
        return self._game.loss(self._player, batch)[0]

    def copied_buffers(self, prefix: str = "") -> dict[str, Tensor]:
        """What networks count in, such as batch norm, for a call that shall leave no trace."""
        return {name: buffer.clone() for name, buffer in self.named_buffers() if name.startswith(prefix)}


def _needs(game: Game, cure: str, *players: str) -> None:
    if any(name not in game.players for name in players):
        there = ", ".join(game.players)
        raise ConfigurationError(
            f"{cure} needs the players {' and '.join(players)}, this game has {there}: turn it off"
        )
