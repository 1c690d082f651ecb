"""One run from configuration to result: prepared, played, looked at, written down, resumed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import RunError, RunExistsError
from model.novelty import HASHES, Novelty
from training.checkpoint import load_checkpoint, save_checkpoint
from training.configuration import Config
from training.data.corpus import Corpus
from training.display import Display, Progress
from training.evaluation.copies import subsample
from training.journal import Journal, Means, NonFiniteError, last_alarm
from training.loop import Draws, play
from training.observer import SAMPLE_SEED, SLICE, generate_ids, observer_of
from training.pauses import Interval, signals
from training.preparation import cautions, describe, open_data, start, torch_as_asked
from training.report import write_report
from training.runs import (
    ALARM,
    SPEED,
    differences,
    drop_results,
    is_run,
    locked,
    read_config,
    read_json,
    resume_command,
    sweep,
    write_json,
    write_whole,
)
from training.scoring import score_samples

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
    if resume and not is_run(run):
        raise RunError(f"{run} is not a run that could be resumed: leave --resume out to start one")
    with locked(run), torch_as_asked(config) as device:
        _check_previous(config, run, resume=resume, allow_changes=allow_changes)
        sweep(run)
        # A signal acts at once while there is nothing to save: in preparation, and in scoring what was saved.
        session = _Session(config, run, display, device)
        with signals() as received, display:
            session.play(received)
        return session.finish(received)


def _check_previous(config: Config, run: Path, *, resume: bool, allow_changes: bool) -> None:
    if not is_run(run):
        return
    if not resume:
        raise RunExistsError(
            f"{run} holds a run already: continue it with --resume, or choose another folder with --run"
        )
    changed = differences(read_config(run), config)
    if changed and not allow_changes:
        listed = "; ".join(changed)
        raise RunError(f"{run} was begun with another configuration ({listed}): say --allow-changes to go on with this")


class _Session:
    """A run in memory: its data, its game and its state."""

    def __init__(self, config: Config, run: Path, display: Display, device: torch.device) -> None:
        self.config, self.run, self.display = config, run, display
        self.dataset = open_data(config.data, run)
        for sentence in (*describe(self.dataset), *cautions(config)):
            display.say(sentence)
        self._check_data()
        self.training, self.rule = start(config, self.dataset, device)
        self._restore(device)
        draws = Draws(self.dataset, config.batch_size, config.model.latent, config.seed, device)
        self.rounds = play(self.training, self.rule, draws, precision=config.precision)
        self.observer = observer_of(self.dataset, config.model.latent)
        self.means, self.progress = Means(), Progress(f"{config.variant} on {', '.join(config.data.sources)}")
        self._flushed_at = (self.training.round, self.training.seconds)
        self._saved_at = self.training.round
        # Last, when all of it is known to fit: what cannot be played must not take a run's place.
        self._write_down()

    def _check_data(self) -> None:
        path = self.run / "data.json"
        if is_run(self.run) and path.is_file() and read_json(path).get("digest") != self.dataset.digest:
            raise RunError(f"the data of {self.run} has changed since it was begun: start another run")

    def _restore(self, device: torch.device) -> None:
        """Take up the newest checkpoint, if there is one."""
        state = load_checkpoint(self.run / "checkpoints", device)
        if state is None:
            return
        try:
            self.training.load_state_dict(state)
        except (RuntimeError, KeyError, ValueError) as error:
            raise RunError(f"the checkpoint in {self.run} does not fit these networks: {error}") from error
        self.display.say(f"continuing at round {self.training.round}")
        before, now = read_config(self.run).threads if is_run(self.run) else None, torch.get_num_threads()
        if device.type == "cpu" and before not in (None, now):
            self.display.say(
                f"warning: this run used threads = {before} and goes on with {now}: "
                "its weights will differ in their last bits from those of an undisturbed run"
            )

    def _write_down(self) -> None:
        facts = {"digest": self.dataset.digest, "kind": self.dataset.kind, "train": len(self.dataset)}
        if isinstance(self.dataset, Corpus):
            facts |= asdict(self.dataset.report)
            tokenizer = self.dataset.alphabet.tokenizer().to_str(pretty=True)
            write_whole(self.run / "tokenizer.json", tokenizer.encode())
            # A folder that is no run yet may hold the hashes of other data, from a start that came to nothing.
            if not (is_run(self.run) and (self.run / HASHES).is_file()):
                hashes = Novelty.of(self.dataset.train, self.dataset.alphabet, self.dataset.digest)
                write_whole(self.run / HASHES, hashes.to_bytes())
        write_json(self.run / "data.json", facts)
        # The number of threads decides the last bits of the weights, so a run that goes on keeps it.
        resolved = self.config.model_copy(update={"threads": torch.get_num_threads()})
        # Last, since a folder with a configuration is a run that can be resumed.
        write_json(self.run / "config.json", resolved.model_dump(mode="json"))

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
        with Journal(self.run, resumed_at=self.training.round) as journal:
            if not self.done:
                drop_results(self.run)
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

    def _save(self) -> None:
        """Write a checkpoint; only after a flush, which makes sure that every term since the last was finite."""
        save_checkpoint(self.run / "checkpoints", self.training.state_dict())
        self._saved_at = self.training.round

    def _flush(self, journal: Journal, *, look: bool) -> None:
        """Write a row of what happened since the last, with a look at the samples if asked for, and show it."""
        training, progress = self.training, self.progress
        row = self._row()
        if look:
            row |= self._look(journal)
        journal.write(row)
        progress.round, progress.seconds, progress.row = training.round, training.seconds, row
        progress.share = self._share()
        self.display.show(progress, looked=look)

    def _row(self) -> dict[str, Any]:
        """Clocks, speed and means of the terms.  Raises NonFiniteError with what to do if one is not finite."""
        training = self.training
        try:
            means = self.means.take()
        except NonFiniteError as error:
            kept = "the last good checkpoint is kept" if self._saved_at else "there is no checkpoint yet"
            raise NonFiniteError(
                f"{error} between rounds {self._flushed_at[0]} and {training.round}: {kept}; "
                f"go on with smaller steps: {resume_command(self.run)} --allow-changes "
                f"--set lr_critic={self.config.lr_critic / 2:g} --set lr_generator={self.config.lr_generator / 2:g}"
            ) from None
        rounds, seconds = training.round - self._flushed_at[0], training.seconds - self._flushed_at[1]
        samples = rounds * self.config.batch_size * (len(training.game.turns) if self.rule.follows_turns else 1)
        self._flushed_at = (training.round, training.seconds)
        return {
            "round": training.round,
            "seconds": round(training.seconds, 3),
            "cpu_seconds": round(training.cpu_seconds, 3),
            SPEED: round(samples / max(seconds, 1e-9), 1),
            **means,
        }

    def _look(self, journal: Journal) -> dict[str, Any]:
        """Look at the samples and keep them; returns what the look adds to the row."""
        seen, number = self.observer.look(self.training.average.module), self.training.round
        seen.save(self.run / "samples", number)
        if seen.suffix == ".png":
            journal.write_image("samples", seen.samples, number)
        else:
            journal.write_text("samples", seen.samples.decode(), number)
        self.progress.scores, self.progress.lines = seen.scores, seen.lines
        found: dict[str, Any] = {f"score/{name}": value for name, value in seen.scores.items()}
        if seen.alarm:
            self.display.say(f"warning: round {number}: {seen.alarm}")
            found[ALARM] = seen.alarm
        return found

    def finish(self, received: list[int]) -> Outcome:
        """Score the result and write the report, unless a signal came first."""
        training = self.training
        scores: dict[str, float] = {}
        if self.done:
            scores = self._evaluate()
            result: dict[str, Any] = {"state": "finished", "round": training.round, "seconds": training.seconds}
            result |= {"cpu_seconds": training.cpu_seconds, "scores": scores, "alarm": last_alarm(self.run)}
            write_json(self.run / "result.json", result)
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
        table = score_samples(corpus, samples, n=EVALUATED, seed=SAMPLE_SEED)
        real = corpus.held_out[subsample(len(corpus.held_out), EVALUATED, 0)]
        scores = {"real": self._quantiles(real), "generated": self._quantiles(samples)}
        found = {**table.to_dict(), "round": self.training.round, "critic_scores": scores}
        write_json(self.run / "metrics.json", found)
        return {name: value for name, value in table["model"].items() if value is not None}

    @torch.no_grad()
    def _quantiles(self, ids: NDArray[np.integer]) -> list[float]:
        """The critic's scores of strings, ids (N, T), at 0, 1, ..., 100 %: where a further score stands among them."""
        critic = self.training.game.players["critic"]
        device = next(critic.parameters()).device
        one_hot = torch.eye(self.dataset.shape[1], device=device)
        slices = (torch.from_numpy(ids[i : i + SLICE].astype(np.int64)) for i in range(0, len(ids), SLICE))
        scores = torch.cat([critic(one_hot[part.to(device)]) for part in slices])
        quantiles: list[float] = np.quantile(scores.double().cpu().numpy(), np.linspace(0, 1, 101)).tolist()
        return quantiles
