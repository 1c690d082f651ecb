"""What came of a sweep: a table, JSON, the best configuration as a job file, and a figure."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from training.evaluation.layout import figure
from training.plan import Layers
from training.runs import write_whole
from training.sweep.search import Choice, Dimension, with_values
from training.sweep.study import Sweep

STATES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "given up", TrialState.FAIL: "failed"}
COLUMNS = {"js4_padded": "JS-4", "copied": "copy", "unique": "uniq"}
SIDE = 3.0  # of a panel, in inches
ACROSS = 3
MARGIN = 0.05  # beside the range of a key, as a share of it


def conclude(sweep: Sweep, trials: Sequence[FrozenTrial], *, as_json: bool) -> str:
    """Write ``sweep.png`` and, where a trial was finished, ``best.toml``; returns what there is to tell."""
    best = best_of(trials)
    write_whole(sweep.folder / "sweep.png", draw(trials, sweep.space))
    if best is not None:
        told = f"trial {best.number} of {sweep.folder}: joint score {best.value:.4f}"
        job = to_toml(asked(with_values(sweep.layers, best.params)), told)
        write_whole(sweep.folder / "best.toml", job.encode())
    if as_json:
        return json.dumps(to_json(sweep, trials), indent=2, ensure_ascii=False)
    lines = [to_table(trials, [dimension.key for dimension in sweep.space])]
    if best is not None:
        job_file = sweep.folder / "best.toml"
        lines += ["", f"best: trial {best.number}, {sweep.run_of(best.number)}; its configuration: {job_file}"]
    return "\n".join([*lines, f"figure: {sweep.folder / 'sweep.png'}"])


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The finished trial of the least score, the earliest of several; None if none is finished."""
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return min(finished, key=lambda trial: trial.value or 0.0, default=None)


def to_json(sweep: Sweep, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """The sweep as JSON would have it."""
    best = best_of(trials)
    rows = [
        {
            "trial": trial.number,
            "state": _state(trial),
            "run": str(sweep.run_of(trial.number)),
            "values": trial.params,
            "score": trial.value if trial.state == TrialState.COMPLETE else None,
            **{key: value for key, value in trial.user_attrs.items() if key != "score"},
        }
        for trial in trials
    ]
    return {"best": None if best is None else best.number, "trials": rows}


def to_table(trials: Sequence[FrozenTrial], keys: Sequence[str]) -> str:
    """The trials as a table for people, with why one is not finished below."""
    table = Table("trial", "state", "score", *COLUMNS.values(), "rounds", *keys, box=None)
    for trial in trials:
        facts, finished = trial.user_attrs, trial.state == TrialState.COMPLETE
        scores = [f"{trial.value:.4f}" if finished else "-", *(figure(facts.get(key)) for key in COLUMNS)]
        values = [_short(trial.params.get(key, "-")) for key in keys]
        table.add_row(str(trial.number), _state(trial), *scores, str(facts.get("round", "-")), *values)
    out = io.StringIO()
    console = Console(file=out, width=max(100, 14 * (7 + len(keys))), highlight=False, markup=False)
    console.print(table)
    for trial in trials:
        if "detail" in trial.user_attrs:
            console.print(f"trial {trial.number}: {trial.user_attrs['detail']}", soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _state(trial: FrozenTrial) -> str:
    return STATES.get(trial.state, "unfinished")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def asked(layers: Layers) -> dict[str, Any]:
    """The keys that the layers set, without what presets and defaults would say anyway."""
    keys: dict[str, Any] = {}
    for values in layers.values():
        keys |= values
    return keys


def to_toml(keys: Mapping[str, Any], comment: str) -> str:
    """Dotted keys as a job file; texts, numbers and lists of them are written in TOML as in JSON."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
    return "\n".join([f"# {comment}", *lines]) + "\n"


def draw(trials: Sequence[FrozenTrial], space: Sequence[Dimension]) -> bytes:
    """A PNG: the score against the trials, with the best so far, and against each key, the best one marked."""
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    count = 1 + len(space)
    across = min(ACROSS, count)
    down = -(-count // across)
    sheet = Figure(figsize=(SIDE * across, SIDE * down), layout="constrained")
    panels = list(sheet.subplots(down, across, sharey=True, squeeze=False).flat)
    _draw_progress(panels[0], finished)
    for panel, dimension in zip(panels[1:], space, strict=False):
        _draw_key(panel, finished, dimension)
    for panel in panels[count:]:
        panel.set_visible(False)
    for panel in panels[:count:across]:
        panel.set_ylabel("joint score")
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _draw_progress(panel: Axes, finished: Sequence[FrozenTrial]) -> None:
    scores = [trial.value or 0.0 for trial in finished]
    least = [min(scores[: i + 1]) for i in range(len(scores))]
    panel.plot([trial.number for trial in finished], scores, "o", color="tab:blue", markersize=4)
    panel.step([trial.number for trial in finished], least, where="post", color="tab:orange", label="best so far")
    panel.set_xlabel("trial")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(frameon=False)


def _draw_key(panel: Axes, finished: Sequence[FrozenTrial], dimension: Dimension) -> None:
    """Choices stand beside each other, in the order in which they were given."""
    choice = isinstance(dimension, Choice)
    best = best_of(finished)
    for trial in finished:
        value = trial.params[dimension.key]
        x = dimension.samples.index(value) if choice else value
        panel.plot(x, trial.value or 0.0, "o", color="tab:orange" if trial is best else "tab:blue", markersize=4)
    first, last = (0, len(dimension.samples) - 1) if choice else (dimension.samples[0], dimension.samples[-1])
    if dimension.log:
        panel.set_xscale("log")
        panel.set_xlim(first / (last / first) ** MARGIN, last * (last / first) ** MARGIN)
    else:
        panel.set_xlim(first - MARGIN * (last - first), last + MARGIN * (last - first))
    if isinstance(dimension, Choice):
        panel.set_xticks(range(len(dimension.samples)), list(map(str, dimension.samples)))
    elif dimension.whole and not dimension.log:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel(dimension.key)
