"""Train a job file on a Ray cluster: ``python -m training.on_ray job.toml --workers K --run FOLDER``.

Ray Train starts K workers and joins them as torchrun would; each plays its rank of the same job.  What the job names,
and the run's folder, must lie where every worker finds it: on a disk that all of them share.
"""

from __future__ import annotations

import os
import sys
from contextlib import chdir
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from model.command import run as run_command
from model.errors import CharwganError, ConfigurationError, RunError, RunExistsError
from model.terminal import importing
from training import entry
from training.distributed import RankLostError
from training.job import Outcome
from training.plan import plan
from training.runs import is_run


@dataclass(frozen=True)
class Job:
    """What every worker is told.  folder: that relative paths of the job, and of the run, start from."""

    layers: entry.Layers
    folder: Path
    run: Path


def play_rank(job: Job) -> Outcome | CharwganError | None:
    """What a worker does: its rank of a job, from the beginning or from the newest checkpoint.

    Rank 0 returns the outcome, or an error that another try would only repeat.  Raises what one could mend.
    """
    try:
        with chdir(job.folder):
            return entry.train(job.layers, job.run, resume=is_run(job.run), allow_changes=False)
    except RankLostError:
        raise
    except FileNotFoundError:
        return RunError(f"a worker has no folder {job.folder}: start from one that all of them share")
    except CharwganError as error:
        return error
    except SystemExit:  # of a rank that another one speaks for
        return None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--run", required=True, type=click.Path(path_type=Path, file_okay=False), help="The folder of the run.")
@click.option("--resume", is_flag=True, help="Continue the run in that folder.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Ranks.")
@click.option("--cpus", default=1, show_default=True, type=click.IntRange(1), help="Processors of each.")
@click.option("--restarts", default=3, show_default=True, type=click.IntRange(0), help="How often to start lost ones.")
@click.option("--address", help="The cluster.  [default: RAY_ADDRESS, else one on this machine]")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set any key; may be repeated.")
def train(
    job: Path,
    run: Path,
    resume: bool,
    workers: int,
    cpus: int,
    restarts: int,
    address: str | None,
    assignments: tuple[str, ...],
) -> None:
    """Train JOB, a TOML file, on workers of a Ray cluster; a rank takes a GPU where there is one for each."""
    if is_run(run) and not resume:
        raise RunExistsError(f"{run} holds a run already: continue it with --resume, or choose another with --run")
    layers = entry.layers_of(data=(), run=None, environment=os.environ, assignments=assignments, config=job)
    device = plan(layers)[0].device
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers of a cluster that it starts here
    with importing("ray", "training on Ray"):
        import ray
        import ray.train.torch
    ray.init(address=address)
    there = ray.cluster_resources()
    if not (address or "RAY_ADDRESS" in os.environ) and workers * cpus > there["CPU"]:
        raise ConfigurationError(
            f"{workers} workers with {cpus} processors each do not fit into the {there['CPU']:.0f} of this machine: "
            "ask for fewer, or name a cluster by --address"
        )
    gpu = device == "cuda" or (device == "auto" and there.get("GPU", 0) >= workers)
    layers["flag"] = {**layers["flag"], "device": "cuda" if gpu else "cpu"}
    scaling = ray.train.ScalingConfig(num_workers=workers, use_gpu=gpu, resources_per_worker={"CPU": cpus})
    failures = ray.train.FailureConfig(max_failures=restarts)
    settings = ray.train.RunConfig(storage_path=str(run.absolute() / "ray"), failure_config=failures)
    work = partial(play_rank, Job(layers, Path.cwd(), run))
    try:
        outcome = ray.train.torch.TorchTrainer(work, scaling_config=scaling, run_config=settings).fit().return_value
    except ray.train.TrainingFailedError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RunError(f"Ray gave up after {restarts} restarts, go on with --resume: {reason}") from error
    if isinstance(outcome, CharwganError):
        raise outcome
    sys.exit(entry.conclude(outcome))


if __name__ == "__main__":
    run_command(train, "python -m training.on_ray")
