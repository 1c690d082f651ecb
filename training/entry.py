"""What the command line asks of training: options to configuration, and a run from start to summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.errors import ConfigurationError
from training.configuration import flatten, parse_assignment, read_environment, read_job
from training.data import open_dataset
from training.display import clock, make_display
from training.evaluation.table import ScoreTable
from training.job import Outcome, describe, prepare_torch, start
from training.job import train as train_run
from training.plan import default_run, plan
from training.runs import read_config, read_json

Layers = dict[str, Mapping[str, Any]]
EXAMPLES = 20  # real beside generated strings in the summary


def layers_of(
    *,
    data: Sequence[str],
    run: Path | None,
    environment: Mapping[str, str],
    assignments: Sequence[str] = (),
    config: Path | None = None,
    **flags: Any,
) -> Layers:
    """The layers of a configuration, weakest first: the run that is continued, job file, environment, flags."""
    layers: Layers = {}
    if run is not None:
        layers["run"] = {key: value for key, value in flatten(read_config(run).model_dump()) if value is not None}
    if config is not None:
        layers["file"] = read_job(config)
    layers["environment"] = read_environment(environment)
    chosen = {key: value for key, value in flags.items() if value is not None}
    if data:
        chosen["data.sources"] = tuple(data)
    layers["flag"] = {**chosen, **dict(parse_assignment(text) for text in assignments)}
    return layers


def train(layers: Layers, run: Path | None, *, resume: bool, allow_changes: bool) -> Outcome:
    """Start or continue the run that the layers describe."""
    if resume and run is None:
        raise ConfigurationError("--resume needs --run: say which run to continue")
    config, _ = plan(layers)
    folder = run or default_run(config.data.sources, config.variant)
    return train_run(config, folder, make_display(), resume=resume, allow_changes=allow_changes)


def dry_run(layers: Layers) -> str:
    """Every key with its value and origin, what the data is, and the size of the players; nothing is trained."""
    config, origins = plan(layers)
    values = dict(flatten(config.model_dump()))
    lines = [f"{key:22} {values[key]!r:32} {origins[key]}" for key in values]
    dataset = open_dataset(config.data)
    training, _ = start(config, dataset, prepare_torch(config))
    for name, player in training.game.players.items():
        lines.append(f"{name}: {sum(p.numel() for p in player.parameters()):,} weights")
    return "\n".join([*lines, *describe(dataset)])


def summary(outcome: Outcome) -> str:
    """Real beside generated strings, the table of scores, and where everything is."""
    lines = []
    if (outcome.run / "metrics.json").is_file():
        table = ScoreTable.from_dict(read_json(outcome.run / "metrics.json"))
        pairs = zip(table.examples["real"], table.examples["generated"], strict=False)
        lines += [f"{'real (held out)':32}  generated"]
        lines += [f"{real:32}  {generated}" for real, generated in list(pairs)[:EXAMPLES]]
        lines += ["", table.plain(100), ""]
    done = f"{outcome.run}: {outcome.round} rounds in {clock(outcome.seconds)} ({outcome.cpu_seconds:.0f} CPU seconds)"
    return "\n".join([*lines, done, f"report: {outcome.run / 'report.html'}"])
