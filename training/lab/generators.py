"""What each of several generators learns: MAD-GAN's share the modes among themselves.  Ghosh et al. 2018."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from training.evaluation.judges import PointsJudge
from training.lab.figure import Claim, Drawn, Lab, figure
from training.lab.runs import begin, points
from training.lab.style import COLOURS, PALE, dots, panels, plane
from training.observer import SAMPLE_SEED, branches_of, generate

SAMPLES = 10_000
ROUNDS = 4000
INFORMATION = "mutual information of generator and mode / the most there can be"
# The data, how many generators, and the standard deviation of the noise that the critic is shown at first: without it
# eight generators leave the ring and do not come back.
CASES = {"mixture1d": (4, 0.1), "ring": (8, 0.3)}


@dataclass(frozen=True)
class Made:
    """Samples (N, D) in the data's own units, the generator of each, (N,), and their scores.

    divided: the mutual information of generator and mode, as a share of what generators could tell of modes.
    """

    samples: NDArray[np.float32]
    origins: NDArray[np.intp]
    scores: dict[str, float | None]
    divided: float

    @property
    def kl(self) -> float:
        """Of the samples' distribution over modes to the data's; infinite where no sample is in one."""
        found = self.scores["reverse_kl"]
        return np.inf if found is None else found


@figure(title="MAD-GAN's generators, each in its colour", source="Ghosh et al. 2018")
def generators(lab: Lab) -> Drawn:
    """Four generators on a mixture of five Gaussians of the line, and eight on the ring."""
    line, ring = lab.each(made, list(CASES))
    drawing, axes = panels(2, width=4.4, height=3.2)
    _draw_line(axes[0], line)
    _draw_ring(axes[1], ring)
    claims = [
        claim
        for where, each, count in (("line", line, 5), ("ring", ring, 8))
        for claim in (
            Claim(
                f"On the {where} they find all {count} modes", "modes", each.scores["modes"] or 0.0, ">", count - 0.5
            ),
            Claim("as often as the data has them", "reverse KL over modes, nats", each.kl, "<", 0.1),
            Claim("and divide them among themselves", INFORMATION, each.divided, ">", 0.5),
        )
    ]
    density = line.scores["density_kl"]
    near = np.inf if density is None else density
    claims.append(Claim("Their mixture is near the line's data", "KL of histograms, nats", near, "<", 0.5))
    caption = (
        "Samples of MAD-GAN, each generator in its colour, over the data in grey. All are told apart by one "
        "discriminator, so that each is pushed to what no other makes. In the first three quarters of the rounds the "
        "critic is shown noise that falls to 0; without it the generators leave the ring. The KL of histograms leaves "
        "out bins without data."
    )
    numbers = {f"{name}, {key}": value for name, each in (("line", line), ("ring", ring))
               for key, value in each.scores.items() if value is not None}  # fmt: skip
    return Drawn(drawing, caption, tuple(claims), numbers)


def made(lab: Lab, name: str) -> Made:
    """The samples of MAD-GAN on built-in points."""
    count, first = CASES[name]
    steps = {"lr_generator": 3e-4, "lr_critic": 1e-3, "beta2": 0.999, "ema": 0.99, "batch_size": 64}
    noise = {"instance_noise": first, "instance_noise_rounds": ROUNDS * 3 // 4}
    run = begin(lab, f"builtin:{name}", {"variant": "mad-gan", "generators": count, **noise, **steps})
    run.play(lab.rounds(ROUNDS))
    generator, data = run.training.average.module, points(f"builtin:{name}")
    assert data.modes is not None
    samples = generate(generator, SAMPLES, run.config.model.latent)
    origins = branches_of(generator).of_strings(SAMPLE_SEED, 0, SAMPLES)
    nearest = np.linalg.norm(samples[:, None] - data.modes.centres, axis=2).argmin(axis=1)
    divided = information(origins, nearest) / np.log(min(count, len(data.modes)))
    return Made(data.units.own(samples), origins, PointsJudge(data, data.modes).scores(samples), divided)


def information(one: NDArray[np.intp], other: NDArray[np.intp]) -> float:
    """The mutual information, in nats, of two labels of each of N samples, (N,)."""
    joint = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(joint, (one, other), 1 / len(one))
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())


def _draw_line(axes: Axes, made: Made) -> None:
    data = points("builtin:mixture1d")
    real, edges = data.units.own(data.held_out)[:, 0], np.arange(-10, 130.5, 1.0).tolist()
    axes.hist(real, edges, weights=np.full(len(real), len(made.samples) / len(real)), color=PALE, label="data")
    parts = [made.samples[made.origins == i, 0] for i in np.unique(made.origins)]
    names = [f"generator {i + 1}" for i in range(len(parts))]
    axes.hist(parts, edges, stacked=True, histtype="step", linewidth=1.2, color=COLOURS[: len(parts)], label=names)
    axes.set(xlabel="x", ylabel="samples", title="five Gaussians on a line")
    axes.legend(loc="upper left")


def _draw_ring(axes: Axes, made: Made) -> None:
    data = points("builtin:ring")
    dots(axes, data.held_out[:1000], s=30, color=PALE, label="data")
    for i in np.unique(made.origins):
        dots(
            axes,
            made.samples[made.origins == i][:250],
            s=4,
            color=COLOURS[i % len(COLOURS)],
            label=f"generator {i + 1}",
        )
    plane(axes, 1.4, x="$x_1$", y="$x_2$")
    axes.set_title("eight Gaussians on a ring")
