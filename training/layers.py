"""Layers that critics are made of, whatever their data: minibatch discrimination, and weights that are normalised.

N batch, F features, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from model.branches import Branched
from model.text import ResidualCritic, critic_of
from training.conditions import beside
from training.game import Game

KERNELS, COORDINATES = 16, 5  # B and C of minibatch discrimination
FIRST_ITERATIONS = 15  # of the power method, on weights that are random


class Layered(nn.Module):
    """A critic of layers one after the other, the last of them linear.

    Samples (N, ...) to scores (N,), or to logits (N, outputs) where it tells classes apart.
    labels: K, how many of the channels that it takes are not the sample's own.
    """

    def __init__(self, *layers: nn.Module, outputs: int = 0, labels: int = 0) -> None:
        super().__init__()
        self.layers, self.outputs, self.labels = nn.Sequential(*layers), outputs, labels

    @property
    def score(self) -> nn.Linear:
        """The last layer."""
        return cast(nn.Linear, self.layers[-1])

    def features(self, samples: Tensor) -> Tensor:
        """The last hidden layer, flat, (N, F)."""
        for layer in islice(self.layers, len(self.layers) - 1):
            samples = layer(samples)
        return samples

    def read(self, features: Tensor) -> Tensor:
        """The scores, or the logits, of ``features``."""
        judged: Tensor = self.score(features)
        return judged if self.outputs else judged.squeeze(1)

    def forward(self, samples: Tensor) -> Tensor:
        return self.read(self.features(samples))


class Marked(Branched):
    """A generator of what a critic takes: samples with the labels that they were asked to be of, if it has any."""

    def forward(self, latent: Tensor) -> Tensor:
        samples = self.chosen(self.outputs(latent), latent)
        return beside(samples, latent[:, self.latent :]) if self.labels else samples


class MinibatchDiscrimination(nn.Module):
    """A critic that sees how close the samples of a batch are.  Salimans et al. 2016, section 3.2.

    With f(x_i), (F,), the features of the critic inside and T of F x (B C):  M_i = f(x_i) T, (B, C);
    o_b(x_i) = sum over j != i of exp(-||M_ib - M_jb||_1), which stands after f(x_i) before the last layer.
    Memory is N^2 B C numbers: 84 million for N = 1024.

    Real and fake samples are judged in batches of their own, on several ranks each rank's part, in which alone it
    looks for neighbours.  A sample by itself has none and o = 0: then it is the critic inside, which is exported.

    Its score of a sample depends on the whole batch, and the slope at x_i is that of the sum of all scores, with what
    x_i does to those of its neighbours.  So a gradient penalty is sound: the mean score of a batch is then a critic of
    batches that is 1-Lipschitz in the mean distance (1/N) sum ||x_i - y_i||, and for that distance the Wasserstein
    distance of p^N and q^N is that of p and q.
    """

    def __init__(self, critic: Layered | ResidualCritic) -> None:
        super().__init__()
        last = critic.score
        self.critic, self.outputs, self.labels = critic, critic.outputs, getattr(critic, "labels", 0)
        self.project = nn.Linear(last.in_features, KERNELS * COORDINATES, bias=False)
        # The rows of the last layer that are for o.
        self.score = nn.Linear(KERNELS, last.out_features, bias=False)
        nn.init.normal_(self.project.weight, std=last.in_features**-0.5)
        nn.init.normal_(self.score.weight, std=0.02)  # so that o, which may be N - 1, is not all that counts at first

    def features(self, samples: Tensor) -> Tensor:
        """F and o of each sample, (N, F + B)."""
        features: Tensor = self.critic.features(samples)
        return torch.cat([features, self.closeness(features)], dim=1)

    def closeness(self, features: Tensor) -> Tensor:
        """O of each sample, (N, B), in fp32 at least, of its f, (N, F)."""
        dtype = torch.promote_types(features.dtype, torch.float32)
        with torch.autocast(features.device.type, enabled=False):
            rows = self.project(features.to(dtype)).view(-1, KERNELS, COORDINATES)
            near: Tensor = (rows.unsqueeze(1) - rows).abs().sum(dim=3).neg().exp()
            others = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
            return (near * others.unsqueeze(2)).sum(dim=1)

    def read(self, features: Tensor) -> Tensor:
        """The scores, or the logits, of ``features``."""
        own, closeness = features.tensor_split([features.shape[1] - KERNELS], dim=1)
        judged: Tensor = self.score(closeness)
        return self.critic.read(own) + (judged if self.outputs else judged.squeeze(1))

    def forward(self, samples: Tensor) -> Tensor:
        return self.read(self.features(samples))


class Recogniser(nn.Module):
    """A critic that also says what a sample is of, its label or its code: a linear map of its last hidden layer.

    That shows in a sample by itself: it is told without how close the samples of a batch are.
    """

    def __init__(self, critic: nn.Module, says: int) -> None:
        """says: S, numbers that it gives of each sample, besides the score."""
        super().__init__()
        alone = critic.critic if isinstance(critic, MinibatchDiscrimination) else critic
        assert isinstance(alone, Layered | ResidualCritic)
        self.critic, self.labels = critic, alone.labels
        self.head = nn.Linear(alone.score.in_features, says)

    def features(self, samples: Tensor) -> Tensor:
        """Those of the critic, (N, F)."""
        return cast(Callable[[Tensor], Tensor], self.critic.features)(samples)

    def read(self, features: Tensor) -> Tensor:
        """The scores, (N,), of ``features``."""
        return cast(Callable[[Tensor], Tensor], self.critic.read)(features)

    def recognise(self, features: Tensor) -> Tensor:
        """What it says, (N, S), of ``features``."""
        return cast(Tensor, self.head(features[:, : self.head.in_features]))

    def forward(self, samples: Tensor) -> Tensor:
        return cast(Tensor, self.critic(samples))


class Spectral(nn.Module):
    """W / sigma(W), sigma the largest singular value of W as a matrix of a row for each output.  Miyato et al. 2018.

    sigma = u' W v, differentiated with u and v held.  They make one step of the power method after each move of the
    player (``power_iterated``), as in Algorithm 1, and none in a forward pass: so what is looked at between two moves,
    however often and by whom, is one and the same critic.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("u", normalize(torch.randn(len(weight)).to(weight), dim=0))
        self.register_buffer("v", weight.detach().new_zeros(weight[0].numel()))
        for _ in range(FIRST_ITERATIONS):
            self.iterate(weight)

    def forward(self, weight: Tensor) -> Tensor:
        # Not by products of matrices, which autocast would make in half the precision.
        return weight / (self.u.unsqueeze(1) * weight.flatten(1) * self.v).sum()

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """V = W'u / ||W'u||, then u = Wv / ||Wv||."""
        with torch.autocast(weight.device.type, enabled=False):
            rows = weight.flatten(1)
            self.v.copy_(normalize(rows.T @ self.u, dim=0))
            self.u.copy_(normalize(rows @ self.v, dim=0))


def normalise_weights(critic: nn.Module, norm: str) -> None:
    """Normalise the weights of all linear maps in a critic: "weight" or "spectral", of any other name nothing.

    weight: g v / ||v|| for each output, at first the weight itself.  Salimans and Kingma 2016, Eq. 2.
    A critic that was piecewise linear still is, in the weights that this gives.
    """
    for layer in list(critic.modules()):
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            if norm == "weight":
                weight_norm(layer)
            elif norm == "spectral":
                parametrize.register_parametrization(layer, "weight", Spectral(layer.weight))


def power_iterated(game: Game) -> Game:
    """The game in which the weights that are ``Spectral`` make one step of the power method after each move."""

    def project(name: str, before: Callable[[], None] | None) -> Callable[[], None]:
        def follow() -> None:
            if before:
                before()
            for of_weight in normalised[name]:
                cast(Spectral, of_weight[0]).iterate(of_weight.original)

        return follow

    lists = {
        name: [part for part in player.modules() if isinstance(part, parametrize.ParametrizationList)]
        for name, player in game.players.items()
    }
    normalised = {name: [part for part in parts if isinstance(part[0], Spectral)] for name, parts in lists.items()}
    following = {name: project(name, game.project.get(name)) for name, parts in normalised.items() if parts}
    return replace(game, project={**game.project, **following}) if following else game


def alone(critic: nn.Module, symbols: int) -> ResidualCritic:
    """What a critic of texts is of one string by itself (N, T, V + K), V = ``symbols``: what is exported, and scores.

    Without neighbours, if it looks at those; of the string m times, if it judges packs of m; its score alone, if it
    says more; with the weights that a normalisation gives, and batch norm's running statistics.  It shares memory with
    the critic, and is not trained.
    """
    inner = _innermost(critic)
    assert isinstance(inner, ResidualCritic)
    state = plain_state(inner)
    if inner.size > symbols:
        # The first layer is linear: m copies of a string are one under the sum of the weights that each copy meets.
        copies = state["input.weight"].tensor_split(inner.size // symbols, dim=1)
        state["input.weight"] = torch.stack(copies).sum(dim=0)
    with torch.device("meta"):
        sizes = {**inner.sizes, "size": symbols, "labels": inner.labels, "outputs": inner.outputs}
        single = critic_of(inner.norm, anchored=inner.anchored, **sizes)
    single.load_state_dict(state, assign=True)
    return single.eval().requires_grad_(False)


def judges_strings(critic: nn.Module, labels: int) -> bool:
    """Whether it is a critic of texts, with their K = ``labels`` or without, and of nothing else beside them."""
    inner = _innermost(critic)
    return isinstance(inner, ResidualCritic) and inner.labels in (0, labels)


def _innermost(critic: nn.Module) -> nn.Module:
    judge = critic.critic if isinstance(critic, Recogniser) else critic
    return judge.critic if isinstance(judge, MinibatchDiscrimination) else judge


def plain_state(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module as if its weights had never been normalised: those that it computes with."""
    state = {name: tensor for name, tensor in module.state_dict().items() if ".parametrizations." not in name}
    for name, part in module.named_modules():
        if parametrize.is_parametrized(part, "weight"):
            state[f"{name}.weight"] = cast(Tensor, part.weight).detach()
    return state
