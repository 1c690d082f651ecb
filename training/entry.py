"""What the command line asks of training: options to configuration, and a run from start to summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from model.errors import ConfigurationError
from training.display import clock, make_display
from training.evaluation.mode_table import read_table
from training.job import Outcome
from training.job import train as train_run
from training.layering import flatten, parse_assignment, read_environment, read_job
from training.plan import default_run, plan
from training.preparation import cautions, describe, open_data, start, torch_as_asked
from training.runs import read_config, read_json, resume_command

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
        # Every key, those that are None too: nothing is left for a preset, the data or the variant to decide anew.
        layers["run"] = dict(flatten(read_config(run).model_dump()))
    if config is not None:
        layers["file"] = read_job(config)
    layers["environment"] = read_environment(environment)
    chosen = {key: value for key, value in flags.items() if value is not None}
    if data:
        chosen["data.sources"] = tuple(data)
    layers["flag"] = {**chosen, **dict(parse_assignment(text) for text in assignments)}
    return layers if run is None else _with_presets_keys(layers)


def _with_presets_keys(layers: Layers) -> Layers:
    """The layers of a run that goes on; a preset that is asked for means its keys now, and not those of the run."""
    asked = [values["preset"] for values in layers.values() if "preset" in values]
    if not asked:
        return layers
    began = {key: layers["run"][key] for key in ("variant", "data.sources")}
    config, origins = plan({**layers, "run": began})
    values = dict(flatten(config.model_dump()))
    named = {key: values[key] for key, origin in origins.items() if origin == f"preset {asked[-1]}"}
    return {"run": layers["run"], "preset": named, **layers}


def train(layers: Layers, run: Path | None, *, resume: bool, allow_changes: bool) -> Outcome:
    """Start or continue the run that the layers describe."""
    if resume and run is None:
        raise ConfigurationError("--resume needs --run: say which run to continue")
    config, _ = plan(layers)
    folder = run or default_run(config.data.sources, config.variant)
    return train_run(config, folder, make_display(), resume=resume, allow_changes=allow_changes)


def dry_run(layers: Layers, run: Path | None = None) -> str:
    """Every key with its value and origin, what the data is, and the size of the players; nothing is trained.

    run: the run that would be continued, or None.
    """
    config, origins = plan(layers)
    values = dict(flatten(config.model_dump()))
    lines = [f"{key:22} {values[key]!r:32} {origins[key]}" for key in values]
    dataset = open_data(config.data, run)
    with torch_as_asked(config) as device:
        training, _ = start(config, dataset, device)
    for name, player in training.game.players.items():
        lines.append(f"{name}: {sum(p.numel() for p in player.parameters()):,} weights")
    return "\n".join([*lines, *cautions(config), *describe(dataset)])


def interruption(outcome: Outcome) -> str:
    """What a signal left of a run, and the command that continues it."""
    again = resume_command(outcome.run)
    if not outcome.round:
        return f"interrupted before the first round, nothing was saved; begin again with: {again}"
    return f"interrupted at round {outcome.round}, saved; continue with: {again}"


def conclude(outcome: Outcome) -> int:
    """Say how a run ended, once for all of its ranks; returns the exit code, 128 + n after signal n."""
    if outcome.rank == 0:
        interrupted = outcome.signal is not None
        click.echo(interruption(outcome) if interrupted else summary(outcome), err=interrupted)
    return 0 if outcome.signal is None else 128 + outcome.signal


def summary(outcome: Outcome) -> str:
    """Real beside generated strings, the table of scores, and where everything is."""
    lines = []
    if (outcome.run / "metrics.json").is_file():
        table = read_table(read_json(outcome.run / "metrics.json"))
        if table.examples:
            pairs = zip(table.examples["real"], table.examples["generated"], strict=False)
            lines += [f"{'real (held out)':32}  generated"]
            lines += [f"{real:32}  {generated}" for real, generated in list(pairs)[:EXAMPLES]]
        lines += ["", table.plain(100), ""]
    done = f"{outcome.run}: {outcome.round} rounds in {clock(outcome.seconds)} ({outcome.cpu_seconds:.0f} CPU seconds)"
    return "\n".join([*lines, done, f"report: {outcome.run / 'report.html'}"])
