"""The card of a model of images or points, as ``README.md`` in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
| training | {rounds} rounds, {seconds} s, seed {seed}, {precision} |

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

VALUES = {"image": ", in [-1, 1]", "points": ", in the units of the data"}
OUT = {"image": "sheet.png", "points": "points.csv"}


def sample_card(name: str, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown from the model's config.json and metrics.json."""
    labels = Labels.from_json(config.get("labels"), "config.json")
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
        asked=" --label LABEL" if labels else "",
        out=OUT[kind],
        inputs=f"{config['model']['latent']}{f' + {len(labels)}' if labels else ''}",
        one_hot=ONE_HOT.format(k=len(labels)) if labels else "",
        width=config["model"]["width"],
        depth=config["model"]["depth"],
        latent=config["model"]["latent"],
        **how_made(config),
    )
