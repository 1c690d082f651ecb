"""The card of a model: what it is, how it was made and how good it is, as ``README.md`` in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from model.labels import FEW, Labels

TEMPLATE = """\
# {name}

A character-level {variant} generator of short strings, made by charwgan.

| | |
|---|---|
| strings | up to {length} characters, {symbols} symbols (padding and unknown included) |
{labels}| networks | width {width}, depth {depth}, kernel {kernel}, latent {latent} |
| data | {sources}; {lines} lines, digest `{digest}` |
| training | {rounds} rounds, seed {seed}, {precision} |
{told}
## Scores

{scores}

JS-n is the Jensen-Shannon divergence of character n-grams to held-out strings, in bits: smaller is closer, and real
text has the floor shown. Copied is the share of strings that stand in the training data.
{scored}
## Use

    charwgan generate --model {name} -n 10 --seed 7{asked}
    charwgan serve --model {name}

`generator.onnx` (opset {opset}) maps `latent` (N, {inputs}) to `logits` (N, {length}, {symbols}); the argmax over the
last axis, looked up in `tokenizer.json` and cut at the first padding (id 0), is the string.
{one_hot}{int8}
## Limits

The strings are samples, not facts: a generated name may be a real person's. Rare characters are learned last. Check
the licence of the data before you publish what was learned from it. `training-hashes.safetensors`, where it is, lets
whoever has the model tell whether a string that they guess was learned from; without the file only `novel` is lost.
"""

SCORED = """
The critic's score is a score and not a probability; `critic_scores` in `metrics.json` holds the scores at 0, 1, ...,
100 % of held-out and of generated strings, to which one may be compared.
"""

UNSCORED = """
The model scores no strings: the critic of its game judges latents, or a string beside its latent, and is left out.
"""

ONE_HOT = """
The last {k} numbers of a string, and the last {k} channels that `critic.onnx` takes after the symbols, say of which
label it is: 1 at the label's place in `config.json`, else 0. Without `--label` labels are drawn by their shares. The
critic's quantiles are of strings under their own labels.
"""

ONE_HOT_ALONE = """
The last {k} numbers of a string say of which label it is: 1 at the label's place in `config.json`, else 0. Without
`--label` labels are drawn by their shares.
"""

BRANCHES = """
The last {k} numbers of a string say which of {k} {of} makes it: 1 at its label's place in `config.json`, else 0.
Without `--label` it is drawn, each as likely as any other. The critic judges the strings of all alike.
"""

CODES = """
The last {k} numbers of a string say of which of {k} labels it is made: 1 at the label's place in `config.json`, else 0.
Without `--label` labels are drawn by their shares. The critic judges the strings of all alike.
"""


def model_card(name: str, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown from the model's config.json and metrics.json."""
    training, data, labels = config["training"], config["data"], Labels.from_json(config.get("labels"), "config.json")
    return TEMPLATE.format(
        name=name,
        variant=config["variant"],
        length=config["length"],
        symbols=config["symbols"],
        lines=data.get("train", 0) + data.get("held_out", 0),
        scores=scores_of(metrics),
        scored=_scored(training.get("critic", {}), config.get("critic", {})),
        int8=_int8(config.get("int8")),
        labels=f"| labels | {listed(labels)} |\n" if labels else "",
        asked=" --label LABEL" if labels else "",
        inputs=f"{config['model']['latent']}{f' + {len(labels)}' if labels else ''}",
        one_hot=_one_hot(labels, config["model"], judged=config.get("critic", {}) is not None),
        **config["model"],
        **how_made(config),
    )


def how_made(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the cards of all kinds of models say of how they were made."""
    training = config["training"]
    licence, note = (" ".join(training.get("card", {}).get(name, "").split()) for name in ("licence", "note"))
    return {
        "sources": ", ".join(f"`{source}`" for source in training["data"]["sources"]),
        "digest": str(config["data"].get("digest", ""))[:12],
        "rounds": config["rounds"],
        "told": "".join(f"\n{text}\n" for text in (f"Licence: {licence}" * bool(licence), note) if text),
        "seed": training["seed"],
        "precision": training["precision"],
        "opset": config["opset"],
    }


def _scored(asked: Mapping[str, Any], form: Mapping[str, Any] | None) -> str:
    """Paragraphs on what a score is, and on that of one string where the critic judges none by itself in training.

    form: None for a model without a critic.
    """
    if form is None:
        return UNSCORED
    told = []
    if (pack := asked.get("pack", 1)) > 1:
        told.append(f"The critic judged packs of {pack}: the score of a string is that of itself {pack} times.")
    if asked.get("minibatch_discrimination"):
        told.append("The critic saw how close the strings of a batch are: the score of a string is without neighbours.")
    if form.get("anchored"):
        told.append(
            f"The critic names {form['outputs']} labels, and tells real strings: a score is the log odds of these."
        )
    elif outputs := form.get("outputs", 0):
        told.append(
            f"The critic told {outputs - 1} generators and the data apart: a score is the log odds of the data."
        )
    return SCORED + ("\n" + "\n".join(told) + "\n" if told else "")


def _one_hot(labels: Labels, form: Mapping[str, Any], *, judged: bool) -> str:
    """What labels are to the networks; nothing where there are none.  judged: whether there is a critic."""
    if labels.channels or not labels:
        return (ONE_HOT if judged else ONE_HOT_ALONE).format(k=len(labels)) if labels else ""
    if "codes" in form:
        return CODES.format(k=len(labels))
    return BRANCHES.format(k=len(labels), of="Gaussians" if "mixture" in form else "generators")


def listed(labels: Labels) -> str:
    """Names and shares, the most frequent first, fit for a cell of a table."""
    ordered = sorted(labels.listed(), key=lambda label: -label["share"])
    told = [f"`{json.dumps(each['name'], ensure_ascii=False)}` {each['share']:.1%}" for each in ordered[:FEW]]
    further = [f"and {len(labels) - FEW} more in `config.json`"] if len(labels) > FEW else []
    return ", ".join([*told, *further]).replace("|", "\\|")


def _int8(measured: Mapping[str, Any] | None) -> str:
    """A paragraph on the graph in 8-bit integers, or nothing where the model has none."""
    if measured is None:
        return ""
    unique, js4 = measured["unique"], measured["js4"]
    distance = "" if js4 is None else f"; JS-4 between the two is {js4:.4f} bits"
    return (
        "\n`generator.int8.onnx` (`charwgan serve --engine onnx-int8`) computes in 8-bit integers, which is faster and "
        f"changes\nstrings: {measured['changed']:.2%} of {measured['samples']} strings of seed {measured['seed']} are "
        f"others,\n{unique['int8']:.2%} of them distinct (in fp32 {unique['fp32']:.2%}){distance}.\n"
    )


def scores_of(metrics: Mapping[str, Any]) -> str:
    """The table of a run's ``metrics.json`` as a block of Markdown, and what its variant is measured by besides."""
    from training.evaluation.mode_table import read_table

    table = read_table(metrics).plain(100).splitlines() if "rows" in metrics else []
    measured = [f"{name} {value:.4g}" for name, value in metrics.get("measures", {}).items()]
    blocks = ["\n".join(f"    {line}".rstrip() for line in lines) for lines in (table, measured) if lines]
    return "\n\n".join(blocks) or "Not evaluated."
