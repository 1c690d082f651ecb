"""The card of a model of images or points, as ``README.md`` in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.given import Captions, Pictures, given_by
from model.labels import Labels
from training.card import how_made, listed, scores_of

TEMPLATE = """\
# {name}

A {variant} generator of {what}, made by charwgan.

| | |
|---|---|
| {what} | of shape {shape} |
{labels}| network | width {width}, depth {depth}, latent {latent} |
| data | {sources}; {count} learned, digest `{digest}` |
| training | {rounds} rounds, seed {seed}, {precision} |
{told}
## Scores

{scores}

## Use

    charwgan generate --model {name} -n 64 --seed 7{asked} --out {out}

`generator.onnx` (opset {opset}) maps `latent` (N, {inputs}) to `samples` (N, {axes}){values}.
{one_hot}"""

ONE_HOT = """
The last {k} numbers of a latent say of which label, or by which branch of the generator, a sample is made: 1 at its
place in `config.json`, else 0. Without `--label` it is drawn by the shares.
"""

CAPTIONED = """
The last {k} numbers of a latent say what is drawn: 1 for each of the words {words}
that is in the caption, else 0{box}.
"""

TRANSLATED = """
The last {k} numbers of a latent are the picture ({axes}) that the image is made from, in [-1, 1], row by row. In
training it was made of the image by `data.pair = {pair}`.
"""

VALUES = {"image": ", in [-1, 1]", "points": ", in the units of the data"}
OUT = {"image": "sheet.png", "points": "points.csv"}


def sample_card(name: str, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown from the model's config.json and metrics.json."""
    labels, given = Labels.from_json(config.get("labels"), "config.json"), given_by(config.get("given"), "config.json")
    kind, axes = config["kind"], ", ".join(map(str, config["shape"]))
    return TEMPLATE.format(
        name=name,
        variant=config["variant"],
        what="images" if kind == "image" else "points",
        shape=f"({axes})",
        axes=axes,
        values=VALUES[kind],
        count=config["data"].get("train", 0),
        scores=scores_of(metrics),
        labels=f"| labels | {listed(labels)} |\n" if labels else "",
        asked=" --label LABEL" if labels else _asked(given),
        out=OUT[kind],
        inputs=f"{config['model']['latent']}{f' + {k}' if (k := len(given or labels)) else ''}",
        one_hot=ONE_HOT.format(k=len(labels)) if labels else _told(given),
        width=config["model"]["width"],
        depth=config["model"]["depth"],
        latent=config["model"]["latent"],
        **how_made(config),
    )


def _asked(given: Captions | Pictures | None) -> str:
    """What the command line must be told of what samples are made of."""
    if isinstance(given, Captions):
        return f' --caption "{given.example}"' + " --box 0,0,0.5,0.5" * given.box
    return " --pictures pictures.npz" if given else ""


def _told(given: Captions | Pictures | None) -> str:
    """What it is to the network; nothing where there is nothing."""
    if isinstance(given, Captions):
        box = "; then left, top, right and bottom of the box, in shares of the side" * given.box
        return CAPTIONED.format(k=len(given), words=", ".join(given.words), box=box)
    if given is None:
        return ""
    return TRANSLATED.format(k=len(given), axes=", ".join(map(str, given.shape)), pair=given.pair)
