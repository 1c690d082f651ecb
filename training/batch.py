"""Offline training jobs, one after the other, each exported to the folder of models that a server watches."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGINT
from typing import Any

from rich.console import Console
from rich.table import Table

from model.artifact import MANIFEST, Artifact
from model.errors import ArtifactError, CharwganError, ConfigurationError
from training.configuration import Config
from training.display import clock, make_display
from training.export import export_run
from training.job import train
from training.layering import read_environment, read_job
from training.plan import plan
from training.runs import differences, is_run, read_config, read_json


@dataclass(frozen=True)
class Result:
    """How a job ended.

    state: trained, resumed, skipped, interrupted or failed.  detail: why, or where the model is.  alarm: the warning of
    the last look at the samples, None if there was nothing to warn of.
    """

    job: str
    state: str
    detail: str
    round: int = 0
    seconds: float = 0.0
    js4: float | None = None
    alarm: str | None = None


def run_batch(
    jobs: Sequence[Path], runs: Path, models: Path, environment: Mapping[str, str]
) -> tuple[list[Result], int]:
    """Run every job; returns the results and an exit code: 0, 1 if a job failed, 128 + n after signal n."""
    names = [job.stem for job in jobs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigurationError(f"job files must have different names, got {', '.join(sorted(twice))} twice")
    results: list[Result] = []
    for job in jobs:
        try:
            result, signal = _run(job, runs / job.stem, models / job.stem, environment)
        except CharwganError as error:
            result, signal = Result(job.stem, "failed", str(error)), None
        except KeyboardInterrupt:
            result, signal = Result(job.stem, "interrupted", "outside of training, nothing to save"), SIGINT
        except Exception as error:  # whatever it is, the other jobs are not to pay for it
            result, signal = Result(job.stem, "failed", f"{type(error).__name__}: {error}"), None
        results.append(result)
        if signal is not None:
            return results, 128 + signal
    return results, int(any(result.state == "failed" for result in results))


def _run(job: Path, run: Path, model: Path, environment: Mapping[str, str]) -> tuple[Result, int | None]:
    config, _ = plan({"file": read_job(job), "environment": read_environment(environment)})
    if config.max_rounds is None and config.max_seconds is None and config.max_cpu_seconds is None:
        raise CharwganError(f"{job} sets none of max_rounds, max_seconds and max_cpu_seconds: a batch job needs an end")
    begun = is_run(run)
    state = "resumed" if begun else "trained"
    if begun and _finished(run, config):
        state = "skipped"
    else:
        outcome = train(config, run, make_display(), resume=begun)
        if outcome.signal is not None:
            return Result(
                job.stem, "interrupted", f"at round {outcome.round}", outcome.round, outcome.seconds
            ), outcome.signal
    result = read_json(run / "result.json")
    js4, alarm = result["scores"].get("js4_padded"), result.get("alarm")
    return Result(
        job.stem, state, _export(run, model, again=state != "skipped"), result["round"], result["seconds"], js4, alarm
    ), None


def _export(run: Path, model: Path, *, again: bool) -> str:
    """Export a finished run, again or only if the model is not the run's; returns what became of it."""
    if not (run / "tokenizer.json").is_file():
        kind = read_json(run / "data.json").get("kind")
        return f"no model: only text is served, and this is a run on {kind}; `charwgan export {run}` makes one"
    if not again and (digest := _digest_if_exported(run, model)):
        return f"model {model}, digest {digest[:12]}"
    return f"model {model}, exported, digest {export_run(run, model, replace=True)[:12]}"


def _digest_if_exported(run: Path, model: Path) -> str | None:
    """The digest of the model, if it is intact and of this run as it ended, else None."""
    if not (model / MANIFEST).is_file():
        return None
    try:
        artifact = Artifact.load(model)
    except ArtifactError:
        return None
    config, data = artifact.config, artifact.config.get("data")
    found = (config.get("rounds"), config.get("training"), data.get("digest") if isinstance(data, dict) else None)
    ended = read_json(run / "result.json")["round"]
    expected = (ended, read_config(run).model_dump(mode="json"), read_json(run / "data.json")["digest"])
    return artifact.digest if found == expected else None


def _finished(run: Path, config: Config) -> bool:
    """Whether the run reached the end that the job asks for, with the job's configuration."""
    if differences(read_config(run), config) or not (run / "result.json").is_file():
        return False
    result = read_json(run / "result.json")
    ends = (("round", config.max_rounds), ("seconds", config.max_seconds), ("cpu_seconds", config.max_cpu_seconds))
    return any(end is not None and result[key] >= end for key, end in ends)


def to_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The results as JSON would have them."""
    return [asdict(result) for result in results]


def to_table(results: Sequence[Result]) -> str:
    """The results as a table for people, with the collapse alarms below."""
    table = Table("job", "state", "rounds", "time", "JS-4", "detail", box=None)
    for result in results:
        js4 = "-" if result.js4 is None else f"{result.js4:.3f}"
        table.add_row(result.job, result.state, str(result.round), clock(result.seconds), js4, result.detail)
    out = io.StringIO()
    console = Console(file=out, width=120, highlight=False, markup=False)
    console.print(table)
    for result in results:
        if result.alarm:
            console.print(f"warning: {result.job}: {result.alarm}")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
