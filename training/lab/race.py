"""Score against rounds and against processor time: weight clipping, the penalty under two optimisers, and DCGAN.

Gulrajani et al. 2017, Figure 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.lab.figure import Claim, Drawn, Lab, figure
from training.lab.runs import begin, steady
from training.lab.scores import score_of
from training.lab.style import BLUE, GREEN, ORANGE, RED, panels

SOURCE = "builtin:digits"
ROUNDS, LOOKS = 1200, 30
LATENT = 32
RUNNERS: dict[str, dict[str, Any]] = {
    "WGAN, clipping": {"variant": "wgan", "n_critic": 2, "beta2": 0.9, "lr": 1e-3},
    "WGAN-GP, RMSProp": {"variant": "wgan-gp", "n_critic": 2, "optimizer": "rmsprop", "lr": 1e-3},
    "WGAN-GP, Adam": {"variant": "wgan-gp", "n_critic": 2, "beta1": 0.0, "lr": 2e-3},
    "DCGAN": {"variant": "dcgan", "n_critic": 1, "beta1": 0.5, "beta2": 0.999, "lr": 1e-3},
}
COLOURS = (RED, GREEN, BLUE, ORANGE)
Curve = NDArray[np.float64]


@figure(title="Score against rounds and against time", source="Gulrajani et al. 2017, Figure 3")
def race(lab: Lab) -> Drawn:
    """Four ways to learn digits with the same networks."""
    curves = dict(zip(RUNNERS, lab.each(curve, list(RUNNERS)), strict=True))
    drawing, axes = panels(2, width=4.4, height=3.1)
    for (name, (rounds, seconds, scores)), colour in zip(curves.items(), COLOURS, strict=True):
        axes[0].plot(rounds, scores, color=colour, label=name)
        axes[1].plot(seconds, scores, color=colour, label=name)
    axes[0].set(xlabel="rounds", ylabel="classifier score")
    axes[1].set(xlabel="processor seconds of training", ylabel="classifier score")
    axes[0].legend(loc="lower right")
    last = {name: float(scores[-4:].mean()) for name, (_, _, scores) in curves.items()}
    measure = "mean of the last four scores"
    clipping, adam, rms = last["WGAN, clipping"], last["WGAN-GP, Adam"], last["WGAN-GP, RMSProp"]
    claims = (
        Claim("The penalty with Adam beats clipping", f"ratio of the {measure}", adam / clipping, ">", 1.0),
        Claim("so it does with RMSProp", f"ratio of the {measure}", rms / clipping, ">", 1.0),
        Claim("DCGAN is faster by the clock", "its seconds to score 5 / those of WGAN-GP with Adam",
              reached(curves["DCGAN"]) / reached(curves["WGAN-GP, Adam"]), "<", 1.0),
    )  # fmt: skip
    caption = (
        f"The classifier score of 1,000 digits of 8 x 8 while {ROUNDS} rounds of 32 samples are played with DCGAN's "
        "networks at a width of 32, two critic steps a round under WGAN and one in DCGAN. Time is of the processor, "
        "looks not counted, and is not the same twice. The paper has CIFAR-10 and 200,000 rounds."
    )
    return Drawn(drawing, caption, claims, last)


def curve(lab: Lab, name: str) -> Curve:
    """Rounds, processor seconds and scores of one of the RUNNERS, (3, looks)."""
    keys = {**RUNNERS[name]}
    step = keys.pop("lr")
    size = {"model.width": 32, "model.latent": LATENT, "batch_size": 32, "lr_generator": step, "lr_critic": step}
    run = begin(lab, SOURCE, {**size, **keys}, build=steady)
    places: list[tuple[int, float, float]] = []
    looks = 4 if lab.quick else LOOKS
    for _ in range(looks):
        run.play(lab.rounds(ROUNDS) // looks)
        score = score_of(run.training.average.module, LATENT, SOURCE)
        places.append((run.training.round, run.training.cpu_seconds, score))
    return np.array(places).T


def reached(curve: Curve, score: float = 5.0) -> float:
    """Processor seconds until a score is first reached; infinite if it never is."""
    _, seconds, scores = curve
    above = np.flatnonzero(scores >= score)
    return float(seconds[above[0]]) if above.size else float("inf")
