"""One run from configuration to result: prepared, played, looked at, written down, resumed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from model.errors import ConfigurationError, RunError
from training.catalogue import make_game
from training.checkpoint import load_checkpoint, save_checkpoint
from training.configuration import Config
from training.data import open_dataset
from training.data.arrays import Images, Points
from training.data.corpus import Corpus
from training.display import Display, Progress
from training.evaluation.table import score_table
from training.journal import Journal, Means, NonFiniteError, write_json
from training.loop import Draws, Training, choose_device, play, seed_torch, update_rule
from training.networks.roles import Roles
from training.observer import generate_ids, observer_of
from training.report import write_report
from training.runs import differences, locked, read_config, read_json

FIRST_LOOK_SECONDS = 5.0  # of training: a person should soon see that something is learned
EVALUATED = 3000  # strings in every row of the table of scores


@dataclass(frozen=True)
class Outcome:
    """How a run ended.  signal: the number of the signal that interrupted it, or None if it finished."""

    run: Path
    round: int
    seconds: float
    cpu_seconds: float
    signal: int | None = None
    scores: dict[str, float] = field(default_factory=dict)


def train(config: Config, run: Path, display: Display, *, resume: bool = False, allow_changes: bool = False) -> Outcome:
    """Start a run in a folder, or continue the one that is there, until its end or a signal.

    resume: continue.  allow_changes: continue although the configuration differs from the one it began with.
    Raises RunError, DataError or ConfigurationError with one line that says what to do.
    """
    if resume and not (run / "config.json").is_file():
        raise RunError(f"{run} is not a run that could be resumed: leave --resume out to start one")
    with locked(run), _signals() as received:
        _check_previous(config, run, resume=resume, allow_changes=allow_changes)
        session = _Session(config, run, display)
        with display:
            session.play(received)
        return session.finish(received)


def _check_previous(config: Config, run: Path, *, resume: bool, allow_changes: bool) -> None:
    if not (run / "config.json").is_file():
        return
    if not resume:
        raise RunError(f"{run} holds a run already: continue it with --resume, or choose another folder with --run")
    changed = differences(read_config(run), config)
    if changed and not allow_changes:
        listed = "; ".join(changed)
        raise RunError(f"{run} was begun with another configuration ({listed}): say --allow-changes to go on with this")


class _Session:
    """A run in memory: its data, its game and its state."""

    def __init__(self, config: Config, run: Path, display: Display) -> None:
        self.config, self.run, self.display = config, run, display
        device = prepare_torch(config)
        self.dataset = open_dataset(config.data)
        for sentence in describe(self.dataset):
            display.say(sentence)
        self._write_down()
        self.training, rule = start(config, self.dataset, device)
        state = load_checkpoint(run / "checkpoints", device)
        if state is not None:
            try:
                self.training.load_state_dict(state)
            except (RuntimeError, KeyError, ValueError) as error:
                raise RunError(f"the checkpoint in {run} does not fit these networks: {error}") from error
            display.say(f"continuing at round {self.training.round}")
        draws = Draws(self.dataset, config.batch_size, config.model.latent, config.seed, device)
        self.rounds = play(self.training, rule, draws, precision=config.precision)
        self.observer = observer_of(self.dataset, config.model.latent)
        self.means, self.progress = Means(), Progress(f"{config.variant} on {', '.join(config.data.sources)}")
        self._flushed_at = (self.training.round, self.training.seconds)
        self._saved_at = self.training.round

    def _write_down(self) -> None:
        path = self.run / "data.json"
        facts = {"digest": self.dataset.digest, "kind": self.dataset.kind, "train": len(self.dataset)}
        if isinstance(self.dataset, Corpus):
            facts |= asdict(self.dataset.report)
            self.dataset.alphabet.save(self.run / "tokenizer.json")
        if path.is_file() and read_json(path)["digest"] != facts["digest"]:
            raise RunError(f"the data of {self.run} has changed since it was begun: start another run")
        write_json(path, facts)
        # Last, since a folder with a configuration is a run that can be resumed.
        write_json(self.run / "config.json", self.config.model_dump(mode="json"))

    @property
    def done(self) -> bool:
        """Whether the configured end is reached."""
        return self._share() == 1.0

    def _share(self) -> float | None:
        """How much of the way to the nearest of the configured ends is behind, 0 to 1; None where there is no end."""
        training, config = self.training, self.config
        ends = (
            (training.round, config.max_rounds),
            (training.seconds, config.max_seconds),
            (training.cpu_seconds, config.max_cpu_seconds),
        )
        return max((min(1.0, now / end) for now, end in ends if end is not None), default=None)

    def play(self, received: list[int]) -> None:
        """Rounds until the end or a signal, with rows, looks and checkpoints in between."""
        config, now = self.config, self.training.seconds
        row = Interval(config.log_seconds, now)
        look = Interval(config.evaluate_seconds, now, first=FIRST_LOOK_SECONDS)
        checkpoint = Interval(config.checkpoint_seconds, now)
        journal = Journal(self.run, resumed_at=self.training.round)
        try:
            while not (self.done or received):
                self.means.add(next(self.rounds))
                stopping, now = self.done or bool(received), self.training.seconds
                looking = look.due(now) or self.done
                if row.due(now) or looking or stopping or checkpoint.is_due(now):
                    self._flush(journal, look=looking)
                if checkpoint.due(now) or stopping:
                    self._save()
            # A signal may come between the end of a round and the question whether there is another.
            if self._saved_at != self.training.round:
                self._flush(journal, look=False)
                self._save()
        finally:
            journal.close()

    def _save(self) -> None:
        """Write a checkpoint; only after a flush, which makes sure that every term since the last was finite."""
        save_checkpoint(self.run / "checkpoints", self.training.state_dict())
        self._saved_at = self.training.round

    def _flush(self, journal: Journal, *, look: bool) -> None:
        training, progress = self.training, self.progress
        try:
            means = self.means.take()
        except NonFiniteError as error:
            raise NonFiniteError(
                f"{error} between rounds {self._flushed_at[0]} and {training.round}: the last good checkpoint is kept; "
                f"go on from it with smaller steps: charwgan train --run {self.run} --resume --allow-changes "
                f"--set lr_critic={self.config.lr_critic / 2:g} --set lr_generator={self.config.lr_generator / 2:g}"
            ) from None
        rounds, seconds = training.round - self._flushed_at[0], training.seconds - self._flushed_at[1]
        batches = len(training.game.turns) if self.config.update == "alternating" else 1
        samples = rounds * self.config.batch_size * batches
        self._flushed_at = (training.round, training.seconds)
        row: dict[str, Any] = {
            "round": training.round,
            "seconds": round(training.seconds, 3),
            "cpu_seconds": round(training.cpu_seconds, 3),
            "samples_per_second": round(samples / max(seconds, 1e-9), 1),
            **means,
        }
        if look:
            seen = self.observer.look(training.average.module)
            seen.save(self.run / "samples", training.round)
            row |= {f"score/{name}": value for name, value in seen.scores.items()}
            progress.scores, progress.lines = seen.scores, seen.lines
            if seen.alarm:
                self.display.say(f"warning: round {training.round}: {seen.alarm}")
        journal.write(row)
        progress.round, progress.seconds, progress.row = training.round, training.seconds, row
        progress.share = self._share()
        self.display.show(progress, looked=look)

    def finish(self, received: list[int]) -> Outcome:
        """Score the result and write the report, unless a signal came first."""
        training = self.training
        scores: dict[str, float] = {}
        if self.done:
            scores = self._evaluate()
            result = {"state": "finished", "round": training.round, "seconds": training.seconds}
            write_json(self.run / "result.json", {**result, "cpu_seconds": training.cpu_seconds, "scores": scores})
        elif not received:
            raise AssertionError("a run ends by its limits or by a signal")
        write_report(self.run)
        interrupted = None if self.done else received[0]
        return Outcome(self.run, training.round, training.seconds, training.cpu_seconds, interrupted, scores)

    def _evaluate(self) -> dict[str, float]:
        if not isinstance(self.dataset, Corpus):
            return {}
        corpus = self.dataset
        ids = generate_ids(self.training.average.module, EVALUATED, self.config.model.latent, corpus.alphabet)
        samples = corpus.alphabet.encode(corpus.alphabet.decode(ids))
        table = score_table(
            train=corpus.train, held_out=corpus.held_out, samples=samples, alphabet=corpus.alphabet, n=EVALUATED
        )
        write_json(self.run / "metrics.json", table.to_dict())
        return {name: value for name, value in table["model"].items() if value is not None}


class Interval:
    """Says when something is due again, on the clock of training seconds; the first time may come earlier."""

    def __init__(self, seconds: float, now: float, *, first: float | None = None) -> None:
        self._seconds = seconds
        self._step = min(seconds, first or seconds)
        self._next = now + self._step

    def is_due(self, now: float) -> bool:
        """Whether the time has come."""
        return now >= self._next

    def due(self, now: float) -> bool:
        """Whether the time has come; if so the next time is set, at most twice as far away as the last."""
        if not self.is_due(now):
            return False
        self._step = min(self._seconds, 2 * self._step)
        self._next = now + self._step
        return True


def prepare_torch(config: Config) -> torch.device:
    """Set the number of threads and choose the device.  Raises ConfigurationError if it is not there."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    try:
        return choose_device(config.device)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def start(config: Config, dataset: Corpus | Images | Points, device: torch.device) -> tuple[Training, Any]:
    """The configured game on a dataset at round 0, and its update rule; weights are a function of the seed."""
    seed_torch(device, config.seed)
    game = make_game(Roles(dataset.kind, dataset.shape, config.model), config)
    return Training.start(game, config, device), update_rule(config)


def describe(dataset: Corpus | Images | Points) -> list[str]:
    """What the data is, in a few sentences."""
    if isinstance(dataset, Corpus):
        return dataset.report.sentences()
    return [f"{len(dataset)} {'images' if dataset.kind == 'image' else 'points'} of shape {dataset.shape}"]


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, so that a round is ended and saved; a second one acts at once."""
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for name in before:
            signal.signal(name, signal.SIG_DFL)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
