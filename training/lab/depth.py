"""What reaches the layers of a deep critic, and where its weights lie, under weight clipping and under the penalty.

Gulrajani et al. 2017, section 3 and Figure 1 (b): gradients explode or vanish under clipping, unless the bound is
tuned, and nearly all weights end at one bound or the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor, nn

from training.game import Batch, Game
from training.lab.figure import Claim, Drawn, Lab, figure
from training.lab.runs import CPU, Run, begin, steady
from training.lab.style import BLUE, GREEN, ORANGE, RED, panels
from training.loop import Draws

CLIPS = (0.001, 0.01, 0.1)
HIDDEN = 11  # and one layer more, which gives the score: 12
ROUNDS = 1500
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Constrained:
    """What a constraint left of a critic.

    norms: of the critic's loss differentiated in what each layer gives, first to last.  weights: all of them.
    bound: c of the clipping, None under the penalty.
    """

    norms: Numbers
    weights: Numbers
    bound: float | None

    @property
    def ratio(self) -> float:
        """First layer's gradient to the last's: 1 where depth changes nothing."""
        return float(self.norms[0] / self.norms[-1])

    @property
    def saturated(self) -> float:
        """The share of the weights within one percent of +-c."""
        return 0.0 if self.bound is None else float((np.abs(self.weights) > 0.99 * self.bound).mean())


@figure(title="A deep critic under clipping and under the penalty", source="Gulrajani et al. 2017, Figure 1 (b)")
def layers(lab: Lab) -> Drawn:
    """The gradient by layer and the weights of a 12-layer critic on the Swiss roll."""
    names = [*(f"clipped to ±{bound:g}" for bound in CLIPS), "gradient penalty"]
    found = dict(zip(names, lab.each(constrained, [*CLIPS, None]), strict=True))
    drawing, axes = panels(3, width=3.3)
    for (name, critic), colour in zip(found.items(), (ORANGE, RED, GREEN, BLUE), strict=True):
        axes[0].semilogy(range(1, HIDDEN + 2), critic.norms, ".-", color=colour, label=name)
        if critic.bound in (0.01, None):
            _draw_weights(axes[2 if critic.bound is None else 1], critic, name, colour)
    axes[0].set(xlabel="layer", ylabel="‖∂ loss / ∂ layer‖", title="gradient by layer", xticks=range(1, HIDDEN + 2, 2))
    axes[0].legend(loc="lower right")
    small, middle, large, penalty = found.values()
    ratio, share = "first layer's gradient / last layer's", "share of the weights at ±c"
    claims = (
        Claim("Clipped to ±0.001 the gradient vanishes", ratio, small.ratio, "<", 1e-3),
        Claim("Clipped to ±0.01 it vanishes", ratio, middle.ratio, "<", 1e-3),
        Claim("Clipped to ±0.1 it explodes", ratio, large.ratio, ">", 1e1),
        Claim("Under the penalty it does not vanish", ratio, penalty.ratio, ">", 0.1),
        Claim("nor explode", ratio, penalty.ratio, "<", 10.0),
        Claim("Clipped to ±0.001 the weights go to the bounds", share, small.saturated, ">", 0.5),
        Claim("Clipped to ±0.01 the weights go to the bounds", share, middle.saturated, ">", 0.5),
        Claim("Clipped to ±0.1 many do", share, large.saturated, ">", 0.2),
    )
    caption = (
        f"A critic of {HIDDEN + 1} layers on the Swiss roll after {ROUNDS} rounds of five critic steps. Under clipping "
        "every layer shrinks or stretches the gradient by about one factor, so that what reaches the first has passed "
        "eleven others; the penalty asks for a gradient of norm 1 at the input. The histograms are of all weights of "
        "two of the critics."
    )
    return Drawn(drawing, caption, claims)


def constrained(lab: Lab, bound: float | None) -> Constrained:
    """A critic that was trained with its weights clipped to +-bound, or under the penalty if there is none."""
    size = {"model.depth": HIDDEN, "model.width": 64, "batch_size": 128}
    held = {"variant": "wgan-gp"} if bound is None else {"variant": "wgan", "clip": bound}
    run = begin(lab, "builtin:swissroll", {**held, **size}, build=steady)
    run.play(lab.rounds(ROUNDS))
    weights = torch.cat([p.detach().flatten() for p in run.game.parameters("critic")]).double().numpy()
    return Constrained(gradient_by_layer(run.game, unseen(run)), weights, bound)


def unseen(run: Run) -> Batch:
    """A batch of a run's data that no round was played on."""
    return Draws(run.data, 1024, run.config.model.latent, run.config.seed + 1, CPU).batch(0, 0)


def gradient_by_layer(game: Game, batch: Batch) -> Numbers:
    """The norm of the critic's loss differentiated in what each of its linear layers gives, from first to last."""
    layers = [module for module in game.players["critic"].modules() if isinstance(module, nn.Linear)]
    outputs: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, _: object, output: Tensor) -> None:
        outputs.setdefault(layer, output)  # the first forward is the loss's; the penalty's comes after it

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    loss, _ = game.loss("critic", batch)
    for hook in hooks:
        hook.remove()
    gradients = torch.autograd.grad(loss, [outputs[layer] for layer in layers])
    return np.array([gradient.double().norm().item() for gradient in gradients])


def _draw_weights(axes: Axes, critic: Constrained, name: str, colour: str) -> None:
    side = 1.15 * (critic.bound or float(np.abs(critic.weights).max()) / 1.15)
    counts, edges = np.histogram(critic.weights, bins=101, range=(-side, side))
    axes.stairs(counts / counts.sum(), edges, color=colour, fill=True)
    axes.set(xlabel="weight", ylabel="share of the weights", title=name, yscale="log", ylim=(1e-5, 1))
