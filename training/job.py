"""One run from configuration to result: its folder held, its ranks together, its signals heard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from model.errors import RunError, RunExistsError
from training.configuration import Config
from training.display import Display
from training.distributed import joined, restarts
from training.pauses import signals
from training.preparation import torch_as_asked
from training.runs import differences, is_run, locked, read_config, sweep
from training.session import Outcome, Session

__all__ = ["Outcome", "train"]


def train(
    config: Config,
    run: Path,
    display: Display,
    *,
    resume: bool = False,
    allow_changes: bool = False,
    report: bool = True,
) -> Outcome:
    """Start a run in a folder, or continue the one that is there, until its end or a signal.

    Under torchrun every rank calls this; rank 0 alone holds the folder, shows and writes.  A run whose processes
    torchrun had to start again continues.
    resume: continue.  allow_changes: continue although the configuration differs from the one it began with.
    report: write report.html, whose figures take seconds.
    Raises RunError, DataError or ConfigurationError with one line that says what to do, and on other ranks than the
    first SystemExit, if it is not theirs to say.
    """
    with torch_as_asked(config) as device, joined(device) as ranks, ExitStack() as held:
        # Not of rank 0 alone: torchrun counts by machine, and only where a worker was lost.
        again = any(count for (count,) in ranks.gather(restarts()))
        with ranks.together():
            if ranks.first:
                resume = resume or (again and is_run(run))
                held.enter_context(_held(config, run, resume=resume, allow_changes=allow_changes))
        # A signal acts at once while there is nothing to save: in preparation, and in scoring what was saved.
        session = Session(config, run, display, device, ranks)
        with signals() as received, session.display:
            signal = session.play(received)
        return session.finish(signal, report=report)


@contextmanager
def _held(config: Config, run: Path, *, resume: bool, allow_changes: bool) -> Iterator[None]:
    """Hold the folder of a run that may be started or continued there, with nothing half written in it."""
    if resume and not is_run(run):
        raise RunError(f"{run} is not a run that could be resumed: leave --resume out to start one")
    with locked(run):
        if is_run(run):
            _check_previous(config, run, resume=resume, allow_changes=allow_changes)
        sweep(run)
        yield


def _check_previous(config: Config, run: Path, *, resume: bool, allow_changes: bool) -> None:
    if not resume:
        raise RunExistsError(
            f"{run} holds a run already: continue it with --resume, or choose another folder with --run"
        )
    changed = differences(read_config(run), config)
    if changed and not allow_changes:
        listed = "; ".join(changed)
        raise RunError(f"{run} was begun with another configuration ({listed}): say --allow-changes to go on with this")
