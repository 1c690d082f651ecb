"""Architectures against ways of training: which train them all.  Gulrajani et al. 2017, Figure 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from training.lab.architectures import STYLES, architecture
from training.lab.figure import Claim, Drawn, Lab, figure
from training.lab.runs import begin, steady
from training.lab.scores import real_score, score_of
from training.lab.style import panels
from training.observer import generate

SOURCE = "builtin:digits"
ROUNDS, RESNET_ROUNDS = 800, 100
LATENT = 32
TRAINED = 3.0  # a score below which digits are not to be told from each other
# Steps are five to twenty times the papers', since rounds are few.  No critic under a penalty may have batch norm.
METHODS: dict[str, dict[str, Any]] = {
    "GAN": {"variant": "gan", "n_critic": 1, "beta1": 0.5, "beta2": 0.999, "critic.norm": "batch", "lr": 1e-3},
    "LSGAN": {"variant": "lsgan", "n_critic": 1, "beta1": 0.5, "beta2": 0.999, "critic.norm": "batch", "lr": 1e-3},
    "WGAN": {"variant": "wgan", "n_critic": 2, "beta2": 0.9, "critic.norm": "batch", "lr": 1e-3},
    "WGAN-GP": {"variant": "wgan-gp", "n_critic": 2, "beta1": 0.0, "critic.norm": "layer", "lr": 2e-3},
}


@dataclass(frozen=True)
class Cell:
    """What a way of training made of an architecture.  samples: (32, 1, 8, 8).  score: the classifier score."""

    samples: NDArray[np.float32]
    score: float


@figure(title="Ways of training against architectures", source="Gulrajani et al. 2017, Figure 2")
def robustness(lab: Lab) -> Drawn:
    """Samples and scores of every pair."""
    cases = [(style, method) for style in STYLES for method in METHODS]
    cells = dict(zip(cases, lab.each(trained, cases), strict=True))
    drawing, axes = panels(len(METHODS), len(STYLES), width=2.15, height=1.35)
    for panel, ((style, method), cell) in zip(axes, cells.items(), strict=True):
        _draw(panel, cell, style if method == "GAN" else "", method if panel in axes[: len(METHODS)] else "")
    worst = {method: min(_known(cells[style, method].score) for style in STYLES) for method in METHODS}
    measure = "lowest classifier score of an architecture"
    claims = (
        Claim("WGAN-GP trains every one of them", measure, worst["WGAN-GP"], ">", TRAINED),
        *(Claim(f"{method} does not", measure, worst[method], "<", TRAINED) for method in ("GAN", "LSGAN", "WGAN")),
    )
    caption = (
        f"Digits of 8 x 8 after {ROUNDS} rounds ({RESNET_ROUNDS} of the ResNets) of 32 samples, and the score of 1,000 "
        f"in the eyes of a classifier of real ones, which themselves have {real_score(SOURCE):.1f} of 10. The paper "
        "has 200,000 rounds on photographs of 64 x 64: this is what a processor does in minutes, at a width of 16 and "
        "with larger steps."
    )
    scores = {f"{style}, {method}": cell.score for (style, method), cell in cells.items()}
    return Drawn(drawing, caption, claims, scores)


def trained(lab: Lab, case: tuple[str, str]) -> Cell:
    """One architecture under one way of training."""
    style, method = case
    keys = {**METHODS[method]}
    step = keys.pop("lr")
    size = {"model.width": 16, "model.latent": LATENT, "batch_size": 32, "lr_generator": step, "lr_critic": step}
    run = begin(lab, SOURCE, {**size, **keys}, build=steady, roles=architecture(STYLES[style]))
    run.play(lab.rounds(RESNET_ROUNDS if STYLES[style].generator == "resnet" else ROUNDS))
    generator = run.training.average.module  # the generator itself, as it is when it is not trained
    return Cell(generate(generator, 32, LATENT), score_of(generator, LATENT, SOURCE))


def _known(score: float) -> float:
    """A score, or that of images that all look alike where there is none."""
    return score if np.isfinite(score) else 1.0


def _draw(axes: Axes, cell: Cell, row: str, column: str) -> None:
    digits = cell.samples[:, 0].reshape(4, 8, 8, 8).transpose(0, 2, 1, 3).reshape(32, 64)
    axes.imshow(np.nan_to_num(digits), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[], xlabel=f"score {cell.score:.1f}", ylabel=row.replace(", ", ",\n"), title=column)
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
