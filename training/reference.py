"""Before the first round: whether the gradient of a penalty on slopes is the gradient of that penalty.

It needs derivatives of a gradient.  A closed form may be wrong, for a critic that was changed, and some constructs and
versions of torch drop derivatives of a gradient without a word: training would go on under another penalty than it
says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from model.blocks import norm
from training.game import Batch, Game
from training.penalties import slope_by_autograd

logger = logging.getLogger("charwgan.training")

SAMPLES = 4  # enough to check by
TOLERANCE = 1e-2  # between two gradients, in parts of either: TF32 is apart by 1e-3, and what is wrong by much more
STEP = 1e-8  # of every weight, in float64: so small that a ReLU has its kink between the ends of few
DIRECTIONS = 3  # tried until one agrees: a difference across a kink says nothing
DIFFERENCE_TOLERANCE = 1e-4  # between the derivative in a direction and the difference, in parts of the gradient's norm
ALONG = 1e-2  # how far from a sample to either side its slope is measured

Slope = Callable[[Tensor], Tensor]
Gradients = Sequence[Tensor]


def check_slopes(game: Game, batch: Batch, say: Callable[[str], None] = logger.warning) -> None:
    """Give every player whose penalty on slopes has a wrong gradient a ``slope`` of which it is right, and say so.

    A closed form is compared with double backward.  Where there is none, or they differ, differences of the loss
    itself decide between them; where neither is right, slopes are measured along the gradient, which takes first
    derivatives alone.  Players without such a penalty cost nothing.  batch: a few samples.  No weight is changed.
    """
    before = {name: deepcopy(player.state_dict()) for name, player in game.players.items()}
    on = {parameter.device for name in game.players for parameter in game.parameters(name)}
    with torch.random.fork_rng(device for device in on if device.type == "cuda"):
        for name in game.players:
            _check_player(game, name, batch, say)
    for name, player in game.players.items():  # batch norm counts what it sees
        player.load_state_dict(before[name])


def slope_along_gradient(critic: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """||grad D||_2 at each sample of ``at`` (N, ...), (N,), as a central difference along the gradient, held.

    Its first derivatives in the weights are those of the slope, since turning a unit vector away from the gradient
    changes the slope along it by nothing; derivatives of theirs lack what the turning would give.
    """
    at = at.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(at).sum(), at)
    gradient[..., gradient.shape[-1] - getattr(critic, "labels", 0) :] = 0
    length = norm(gradient).view(-1, *[1] * (at.dim() - 1))
    step = (ALONG * gradient / torch.where(length == 0, 1, length)).to(at.dtype)
    at = at.detach()
    return (critic(at + step) - critic(at - step)) / (2 * ALONG)


def _check_player(game: Game, name: str, batch: Batch, say: Callable[[str], None]) -> None:
    player, asked = game.players[name], list[Tensor]()

    def noted(at: Tensor) -> Tensor:
        asked.append(at)
        return slope_by_autograd(player, at)

    reference = _gradients(game, name, batch, noted)
    if not asked:
        return
    ways: dict[str, Slope] = {
        "double backward": partial(slope_by_autograd, player),
        "slopes measured along the gradient": partial(slope_along_gradient, player),
    }
    trouble = "double backward does not give the gradient of its penalty"
    if closed := getattr(player, "slope", None):
        ways = {"the closed form": closed, **ways}
        where, apart = _furthest(player, _gradients(game, name, batch, closed), reference)
        if apart <= TOLERANCE:
            return
        trouble = f"by the closed form of its slope and by double backward, gradients differ by {apart:.2g} in {where}"
    *checked, last = ways
    chosen = next((way for way in checked if _right(game, name, batch, ways[way])), last)
    if chosen != next(iter(ways)):
        player.slope = ways[chosen]  # type: ignore[assignment]
        say(f"warning: {name}: {trouble}: the run goes on with {chosen}")


def _loss(game: Game, name: str, batch: Batch, slope: Slope) -> Tensor:
    """The loss of a player that offers this slope; what networks draw themselves is the same every time."""
    player, own = game.players[name], vars(game.players[name]).get("slope")
    player.slope = slope  # type: ignore[assignment]
    try:
        torch.manual_seed(0)
        return game.loss(name, batch)[0]
    finally:
        del player.slope
        if own is not None:
            player.slope = own


def _gradients(game: Game, name: str, batch: Batch, slope: Slope) -> Gradients:
    """Of that loss in the player's parameters: 0 where it has none, NaN where torch refuses to give one."""
    with game.only(name) as parameters:
        try:
            return torch.autograd.grad(_loss(game, name, batch, slope), parameters, materialize_grads=True)
        except RuntimeError:
            return [torch.full_like(parameter, torch.nan) for parameter in parameters]


def _furthest(player: nn.Module, found: Gradients, expected: Gradients) -> tuple[str, float]:
    """The parameter whose two gradients lie furthest apart, and how far, in parts of the expected one."""
    # A gradient that is nothing beside the others may be rounding alone.
    least = 1e-3 * float(nn.utils.get_total_norm(expected))
    apart = {
        name: float((one - other).norm() / other.norm().clamp(min=max(least, 1e-12)))
        for (name, _), one, other in zip(player.named_parameters(), found, expected, strict=True)
    }
    # NaN first, which compares with nothing.
    where = max(apart, key=lambda name: (apart[name] != apart[name], apart[name]))
    return where, apart[where]


def _right(game: Game, name: str, batch: Batch, slope: Slope) -> bool:
    """Whether the gradient under this slope agrees with differences of the loss, in some direction of the weights."""
    true = partial(slope_by_autograd, game.players[name])  # its value takes one derivative, which is never dropped
    generator = torch.Generator().manual_seed(0)
    with _in_float64(game, batch) as exact:
        gradients = _gradients(game, name, exact, slope)
        bound = DIFFERENCE_TOLERANCE * float(nn.utils.get_total_norm(gradients))
        for _ in range(DIRECTIONS):
            directions = [torch.randn(g.shape, generator=generator).to(g) for g in gradients]
            along = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
            ends = [_moved_loss(game, name, exact, true, directions, sign * STEP) for sign in (1, -1)]
            if abs((ends[0] - ends[1]) / (2 * STEP) - along) <= bound:
                return True
    return False


def _moved_loss(game: Game, name: str, batch: Batch, slope: Slope, directions: Gradients, step: float) -> float:
    parameters = game.parameters(name)
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.add_(direction, alpha=step)
    loss = float(_loss(game, name, batch, slope).detach())
    with torch.no_grad():
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
    return loss


@contextmanager
def _in_float64(game: Game, batch: Batch) -> Iterator[Batch]:
    """The batch, while it and all networks are in float64; then their own tensors stand where they stood.

    The very ones, and not equal ones: an average follows the memory that the weights lay in when it was made.
    """
    modules = [module for player in game.players.values() for module in player.modules()]
    weights = [(parameter, parameter.data) for name in game.players for parameter in game.parameters(name)]
    buffers = [(module, dict(module._buffers)) for module in modules]
    for player in game.players.values():
        player.double()
    try:
        yield replace(batch, real=batch.real.double(), latent=batch.latent.double(), mix=batch.mix.double())
    finally:
        for parameter, data in weights:
            parameter.data = data
        for module, own in buffers:
            module._buffers.update(own)
