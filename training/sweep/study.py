"""A sweep from its first trial to its last: each a run in FOLDER/trials, chosen by Optuna from those before.

FOLDER holds sweep.json (what was asked for), study.db (Optuna's), trials/, and what ``results`` writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import numpy as np
import optuna
from optuna.pruners import PercentilePruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import URL

from model.errors import CharwganError, ConfigurationError, RunError, RunExistsError
from training.configuration import Config
from training.display import Progress, make_display
from training.distributed import launched
from training.evaluation.joint import joint_score
from training.evaluation.table import ScoreTable
from training.job import Outcome
from training.job import train as train_run
from training.journal import NonFiniteError
from training.layering import flatten
from training.plan import Layers, plan
from training.preparation import open_data, reads_once
from training.runs import MAY_CHANGE, is_run, locked, read_json, write_json
from training.sweep.search import BUDGET, parse_searches, with_values

STEPS = 20  # a trial is held against the others at these parts of its budget
WARM_UP = 6  # parts before which none is given up: small steps begin slowly
STARTED = 5  # finished trials before one is given up
WORST = 75.0  # percentile of the finished trials' JS-4 beyond which a trial is hopeless
PRUNER = PercentilePruner(WORST, n_startup_trials=STARTED, n_warmup_steps=WARM_UP)
FAILURES = 3  # in a row, after which the next one would fail too


class Sweep:
    """What a sweep is: its folder, the layers of its trials' configurations, and the space that is searched.

    Raises ConfigurationError if no trial could be played so.
    """

    def __init__(self, folder: Path, layers: Layers, searches: Sequence[str]) -> None:
        if launched():
            raise ConfigurationError(
                "a sweep is one process, whose trials follow each other: start it without torchrun"
            )
        self.folder, self.layers, self.searches = folder, layers, tuple(searches)
        self.space = parse_searches(searches, layers)
        self.base = self.config({dimension.key: dimension.samples[0] for dimension in self.space})
        if streams := [source for source in self.base.data.sources if reads_once(source)]:
            raise ConfigurationError(
                f"every trial reads the data, and {streams[0]} can be read once: write it to a file"
            )
        if all(getattr(self.base, key) is None for key in BUDGET):
            raise ConfigurationError(f"a trial needs an end: set one of {', '.join(BUDGET)}")
        if open_data(self.base.data, None).kind != "text":
            raise ConfigurationError("a sweep puts trials in order by the scores of their strings: only text has them")

    def config(self, values: dict[str, Any]) -> Config:
        """The configuration of a trial."""
        return plan(with_values(self.layers, values))[0]

    def run_of(self, number: int) -> Path:
        """The run that a trial is."""
        return self.folder / "trials" / f"{number:03d}"

    def play(self, trials: int) -> tuple[list[FrozenTrial], int | None]:
        """Play until there are so many trials; those of an earlier call count, and what it left unfinished is taken up.

        Returns all trials, and the signal that came, if one did.
        Raises RunError if the folder is another's, or if trial after trial fails.
        """
        with locked(self.folder), self._study() as study:
            signal = None
            for number, trial, looks in self._trials(study, trials):
                values = {dimension.key: dimension.suggest(trial) for dimension in self.space}
                _say(f"trial {number} (of {trials}): {', '.join(f'{key} = {value}' for key, value in values.items())}")
                signal = self._try(study, trial, number, values, looks)
                if signal is not None:
                    break
                _say(f"trial {number}: {told(study.get_trials(deepcopy=False)[number])}")
                self._check_failures(study)
            return study.get_trials(), signal

    def _trials(self, study: optuna.Study, trials: int) -> Iterator[tuple[int, Trial, set[int]]]:
        """Trials to be played, by number, each with the steps at which it was looked at already."""
        for left in study.get_trials(states=(TrialState.RUNNING,)):
            study.sampler = self._sampler(left.number)
            yield left.number, Trial(study, left._trial_id), set(left.intermediate_values)
        while (number := len(study.get_trials(deepcopy=False))) < trials:
            study.sampler = self._sampler(number)
            yield number, study.ask(), set()

    def _sampler(self, number: int) -> TPESampler:
        """Draws the values of a trial by (seed, number) and the trials before, however often the sweep was begun."""
        return TPESampler(seed=int(np.random.SeedSequence([self.base.seed, number]).generate_state(1)[0]))

    def _try(
        self, study: optuna.Study, trial: Trial, number: int, values: dict[str, Any], looks: set[int]
    ) -> int | None:
        """Play a trial and tell the study; or return the signal that came, and leave the trial open."""
        run = self.run_of(number)
        try:
            outcome = train_run(self.config(values), run, Watching(trial, looks), resume=is_run(run))
            if outcome.signal is not None:
                return outcome.signal
            facts = self._facts(outcome)
        except (optuna.TrialPruned, NonFiniteError) as error:
            trial.set_user_attr("detail", str(error).partition(";")[0])  # without the advice on how to go on
            study.tell(trial, state=TrialState.PRUNED)
        except Exception as error:  # whatever it is, the other trials are not to pay for it
            named = str(error) if isinstance(error, CharwganError) else f"{type(error).__name__}: {error}"
            trial.set_user_attr("detail", named)
            study.tell(trial, state=TrialState.FAIL)
        else:
            for key, value in facts.items():
                trial.set_user_attr(key, value)
            study.tell(trial, facts["score"])
        return None

    def _facts(self, outcome: Outcome) -> dict[str, Any]:
        table = ScoreTable.from_dict(read_json(outcome.run / "metrics.json"))
        score = joint_score(table["model"], table["real"])
        if score is None:
            raise ConfigurationError("strings of fewer than 4 characters have no JS-4, and no joint score by it")
        columns = {key: outcome.scores[key] for key in ("js4_padded", "unique", "copied")}
        return {"score": score, **columns, "round": outcome.round, "seconds": outcome.seconds}

    def _check_failures(self, study: optuna.Study) -> None:
        last = study.get_trials(deepcopy=False)[-FAILURES:]
        if all(trial.state == TrialState.FAIL for trial in last):
            raise RunError(f"no use in going on, the last trials failed: {last[-1].user_attrs['detail']}")

    @contextmanager
    def _study(self) -> Iterator[optuna.Study]:
        """Optuna's study of this folder, which may hold trials already."""
        self._remember()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = RDBStorage(URL.create("sqlite", database=str(self.folder / "study.db")).render_as_string())
        try:
            yield optuna.create_study(storage=storage, study_name="sweep", pruner=PRUNER, load_if_exists=True)
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def _remember(self) -> None:
        """Write down what the sweep is.  Raises RunError if the folder holds another one."""
        if is_run(self.folder):
            raise RunExistsError(f"{self.folder} holds a run: choose another folder for the sweep with --run")
        searched = {dimension.key for dimension in self.space}
        free = (searched | MAY_CHANGE) - set(BUDGET)
        fixed = dict(flatten(self.base.model_dump(mode="json")))
        asked = {"search": sorted(self.searches), **{key: fixed[key] for key in fixed if key not in free}}
        path = self.folder / "sweep.json"
        if path.is_file():
            before = read_json(path)
            changed = [
                f"{key}: {before.get(key)!r} -> {asked[key]!r}" for key in asked if asked[key] != before.get(key)
            ]
            if changed:
                raise RunError(f"{self.folder} holds another sweep ({'; '.join(changed)}): choose another with --run")
        write_json(path, asked)


class Watching:
    """The display of a trial, which gives it up at a look if it is hopeless: by TrialPruned.

    Looks know the excess of JS-4 over real text alone; the joint score is that of the end.
    """

    def __init__(self, trial: Trial, looks: set[int]) -> None:
        """looks: parts of the budget at which the trial was looked at already."""
        self._trial, self._looks, self._display = trial, looks, make_display()

    def __enter__(self) -> Watching:
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)

    def say(self, message: str) -> None:
        """Print a line."""
        self._display.say(message)

    def show(self, progress: Progress, *, looked: bool) -> None:
        """Show the figures.  Raises TrialPruned."""
        self._display.show(progress, looked=looked)
        if not looked or progress.share in (None, 1.0) or "js4" not in progress.scores:
            return
        step = int(STEPS * (progress.share or 0))
        if step in self._looks:
            return
        self._looks.add(step)
        excess = progress.scores["js4"] - progress.scores["js4_floor"]
        self._trial.report(excess, step)
        if self._trial.should_prune():
            raise optuna.TrialPruned(
                f"given up after {progress.share:.0%} of its budget: JS-4 {excess:.3f} above real text"
            )


def told(trial: FrozenTrial) -> str:
    """How a trial ended, in a sentence."""
    if trial.state == TrialState.COMPLETE:
        return f"score {trial.value:.4f}"
    return str(trial.user_attrs.get("detail", "not finished"))


def _say(message: str) -> None:
    click.echo(message, err=True)
