"""How well images that were made from pictures are those that belong to them.  M held-out images, side S."""

from __future__ import annotations

from collections.abc import Callable
from math import log10

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from model.latents import latents
from training.data.arrays import Images
from training.data.pairs import BACK, Sources
from training.evaluation.judges import ImagesJudge
from training.measures import Finished
from training.networks.translators import Translator
from training.observer import SAMPLE_SEED, generate

PEAK = 2.0  # from -1 to 1
MOST = 100.0  # dB
WINDOW = 7  # pixels on each side of what SSIM takes statistics of, as many as there are at most

Pictures = NDArray[np.float32]


def label_preserved(run: Finished) -> dict[str, float]:
    """The share of held-out pictures from which an image is made that has their label, in a classifier's eyes.

    Beside it that of the real images themselves, ``label_preserved_real``, which nothing will exceed by much, and that
    of the pictures as they are, ``label_preserved_untouched``, which is what doing nothing gives.
    """
    if (found := _translated(run)) is None:
        return {}
    sources, made = found
    agreement = _agreement(run)
    of = {"": made, "_real": sources.targets, "_untouched": sources.pictures}
    return {f"label_preserved{name}": agreement(images) for name, images in of.items()}


def label_preserved_both_ways(run: Finished) -> dict[str, float]:
    """The same, and of the generator back: its pictures are turned into images by what undoes them, if that exists."""
    scores = label_preserved(run)
    if (found := _translated(run)) is None or found[0].pair.name not in BACK:
        return scores
    (sources, _), back = found, run.players["generator_back"]
    rows = latents(SAMPLE_SEED, 0, len(sources.targets), run.config.model.latent)
    made = _applied(back, np.hstack([rows, sources.targets.reshape(len(rows), -1)]))
    upright = BACK[sources.pair.name](torch.from_numpy(made)).contiguous().numpy()
    return {**scores, "label_preserved_back": _agreement(run)(upright)}


def likeness(run: Finished) -> dict[str, float]:
    """PSNR in dB and SSIM of images against those that belong to their pictures; where they were enlarged, of others.

    ``psnr_bicubic`` and so on are of the small pictures enlarged by cubic interpolation, ``..._nearest`` of their
    pixels repeated.  ``label_preserved_bicubic`` and ``..._nearest`` as ``label_preserved``.
    """
    if not isinstance(run.data, Images) or not isinstance(run.data.asked, Sources):
        return {}
    sources = run.data.asked
    made = {"": generate(run.generator, len(sources.targets), run.config.model.latent, labels=sources)}
    if sources.pair.name == "shrink":
        made |= {"_bicubic": bicubic(sources.pictures), "_nearest": sources.pictures}
    scores: dict[str, float] = {}
    for name, images in made.items():
        scores[f"psnr{name}"] = psnr(images, sources.targets)
        scores[f"ssim{name}"] = ssim(images, sources.targets)
        if name and isinstance(run.judge, ImagesJudge):
            scores[f"label_preserved{name}"] = _agreement(run)(images)
    return scores


def psnr(images: Pictures, others: Pictures) -> float:
    """10 log10(2^2 / mean squared difference) of images (M, C, S, S) in [-1, 1], in dB, of all pixels together.

    At most MOST, which two that are the same have.
    """
    error = float(np.square(images.astype(np.float64) - others).mean())
    return min(MOST, 10 * log10(PEAK**2 / error)) if error else MOST


def ssim(images: Pictures, others: Pictures) -> float:
    """The mean structural similarity of images (M, C, S, S) in [-1, 1], from -1 to 1.  Wang et al. 2004, Eq. 13.

    A departure: statistics are of plain windows of 7 x 7, and theirs of 11 x 11 with Gaussian weights, which is more
    than small images have.
    """
    x, y = (torch.from_numpy(each).double() for each in (images, others))
    size = min(WINDOW, images.shape[-1])

    def mean(of: Tensor) -> Tensor:
        return avg_pool2d(of, size, stride=1)

    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    found = (2 * mx * my + c1) * (2 * both + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(found.mean())


def bicubic(pictures: Pictures) -> Pictures:
    """Pictures (M, C, S, S) of pixels that are repeated in squares of four, with a smooth surface through them.

    The surface is that of Keys 1981, as Pillow has it; what torch calls bicubic without antialias is another.
    """
    small = torch.from_numpy(pictures[:, :, ::2, ::2])
    made: Pictures = interpolate(small, scale_factor=2, mode="bicubic", antialias=True).clamp(-1, 1).numpy()
    return made


def _translated(run: Finished) -> tuple[Sources, Pictures] | None:
    """The held-out pictures, and the images made from them; None where there is nothing to judge labels by."""
    if not isinstance(run.data, Images) or not isinstance(run.judge, ImagesJudge):
        return None
    sources = run.data.asked
    if not isinstance(sources, Sources):
        return None
    return sources, generate(run.generator, len(sources.targets), run.config.model.latent, labels=sources)


def _agreement(run: Finished) -> Callable[[Pictures], float]:
    """To the share of images, one of each held-out one, that have its label."""
    judge, labels = run.judge, run.data.held_out_labels
    assert judge is not None
    assert labels is not None
    return lambda images: float(np.mean(judge.seen(images) == labels))


@torch.no_grad()
def _applied(generator: nn.Module, rows: Pictures) -> Pictures:
    """What a player that is no average makes of these rows, as if it were trained no more."""
    assert isinstance(generator, Translator)
    training, device = generator.training, next(generator.parameters()).device
    made: Pictures = generator.eval().outputs(torch.from_numpy(rows).to(device)).float().cpu().numpy()
    generator.train(training)
    return made
