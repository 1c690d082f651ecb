"""A run in memory: prepared, played, looked at, written down."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from model.errors import RunError
from model.novelty import HASHES
from training.catalogue import find_variant
from training.checkpoint import from_bytes, load_checkpoint, save_checkpoint, to_bytes
from training.configuration import Config
from training.cures import check_packs
from training.data.corpus import Corpus
from training.data.novelty import write_novelty
from training.display import Display, Progress, SilentDisplay
from training.distributed import Ranks
from training.evaluation.judges import judge_of
from training.journal import Journal, Means, NonFiniteError, last_alarm
from training.latent_space import looks
from training.loop import Draws, pace_at, play
from training.measures import Finished
from training.metrics import sample_metrics, text_metrics
from training.observer import Observer, observer_of
from training.pauses import Interval, Meetings
from training.preparation import cautions, check_decay, describe, label_facts, open_data, sample_facts, start
from training.reference import SAMPLES, check_slopes
from training.runs import (
    ALARM,
    SPEED,
    differences,
    drop_results,
    is_run,
    read_config,
    read_json,
    resume_command,
    write_json,
    write_whole,
)

FIRST_LOOK_SECONDS = 5.0  # of training: a person should soon see that something is learned
LOOKS, CHECKPOINTS = 0.75, 0.25  # of the share of the time that a run may pause


@dataclass(frozen=True)
class Outcome:
    """How a run ended, as a rank sees it: only rank 0 has scores.

    signal: the number of the signal that interrupted it, or None if it finished.
    """

    run: Path
    round: int
    seconds: float
    cpu_seconds: float
    signal: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    rank: int = 0


class Session:
    """A run in memory: its data, its game and its state."""

    def __init__(self, config: Config, run: Path, display: Display, device: torch.device, ranks: Ranks) -> None:
        self.config, self.run, self.ranks = config, run, ranks
        self.display = display if ranks.first else SilentDisplay()
        with ranks.together():
            self._prepare(device)
        ranks.check_equal("data", text=self.dataset.digest)
        state = ranks.share(to_bytes(self.training.state_dict()) if ranks.count > 1 else b"")
        if not ranks.first:
            self.training.load_state_dict(from_bytes(state, device))
        draws = Draws.of(self.training, self.dataset, config, device, ranks.rank, ranks.count)
        say, average = self.display.say, ranks.average
        self.rounds = play(
            self.training, self.rule, draws, precision=config.precision, average=average, say=say, pace=self._pace
        )
        self.means, self.progress = Means(), Progress(f"{config.variant} on {', '.join(config.data.sources)}")
        self._flushed_at = (self.training.round, self.training.seconds)
        self._saved_at = self.training.round
        now = self.training.seconds
        self.look = Interval(config.evaluate_seconds, now, first=FIRST_LOOK_SECONDS, share=LOOKS * config.pauses)
        self.checkpoint = Interval(config.checkpoint_seconds, now, share=CHECKPOINTS * config.pauses)
        # Last, when all of it is known to fit: what cannot be played must not take a run's place.
        with ranks.together():
            if ranks.first:
                self._write_down()
            # Now, and not in the first look, whose time is counted.
            self.judge = judge_of(self.dataset, device, run, display.say) if ranks.first else None

    def _prepare(self, device: torch.device) -> None:
        """The data, and the game as it begins or, on rank 0, as it goes on."""
        size = self.ranks.part(self.config.batch_size)
        check_packs(self.config, size)
        check_decay(self.config, self.ranks.count)
        self.dataset = open_data(self.config.data, self.run, self.ranks.count)
        for sentence in (*describe(self.dataset), *cautions(self.config)):
            self.display.say(sentence)
        if self.ranks.count > 1:
            self.display.say(f"{self.ranks.count} ranks, each with {size} samples of a batch")
        self.training, self.rule = start(self.config, self.dataset, device)
        # By the weights and a batch of the beginning, which are the same on every rank and whenever a run goes on.
        draws = Draws.of(self.training, self.dataset, self.config, device)
        few = slice(0, SAMPLES * self.config.critic.pack)  # in whole packs
        check_slopes(self.training.game, draws.of_round(0)().rows(few), self.display.say)
        if self.ranks.first:
            self._check_data()
            self._restore(device)

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
            changed = differences(read_config(self.run), self.config) if is_run(self.run) else []
            why = f"changed were {'; '.join(changed)}: leave that out, or begin another run" if changed else error
            raise RunError(f"the checkpoint in {self.run} does not fit these networks: {why}") from error
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
            facts |= asdict(self.dataset.report) | label_facts(self.dataset.labels, self.training)
            tokenizer = self.dataset.alphabet.tokenizer().to_str(pretty=True)
            write_whole(self.run / "tokenizer.json", tokenizer.encode())
            # A folder that is no run yet may hold the hashes of other data, from a start that came to nothing.
            if not (is_run(self.run) and (self.run / HASHES).is_file()):
                write_novelty(self.dataset.train, self.dataset.alphabet, self.dataset.digest, self.run / HASHES)
        else:
            facts |= sample_facts(self.dataset, self.training)
        write_json(self.run / "data.json", facts)
        # The number of threads decides the last bits of the weights, so a run that goes on keeps it.
        resolved = self.config.model_copy(update={"threads": torch.get_num_threads()})
        # Last, since a folder with a configuration is a run that can be resumed.
        write_json(self.run / "config.json", resolved.model_dump(mode="json"))

    @cached_property
    def observer(self) -> Observer:
        """Made when there is something to look at."""
        return observer_of(self.dataset, self.config.model.latent, self.judge)

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

    def _pace(self) -> float:
        """The share of the step sizes that the next round takes."""
        share = self._share() if self.config.decay == "linear" else None
        return 1.0 if share is None else pace_at(share)

    def play(self, received: list[int]) -> int:
        """Rounds until the end or a signal, with rows, looks and checkpoints in between.

        received: signals that have come to this rank.  Returns the one that all ranks obey, 0 if there is none.
        """
        config, now = self.config, self.training.seconds
        row = Interval(config.log_seconds, now)
        look, checkpoint = self.look, self.checkpoint
        meetings = Meetings(self.ranks, self.training, end=config.max_rounds, pauses=(look, checkpoint))
        with ExitStack() as files:
            journal = self._open_journal(files)
            signal = meetings.meet(received)
            while not (self.done or signal):
                for terms in islice(self.rounds, meetings.rounds):
                    self.means.add(terms)
                signal, now = meetings.meet(received), self.training.seconds
                looking, saving = look.due(now) or self.done, checkpoint.due(now) or self.done or bool(signal)
                if row.due(now) or looking or saving:
                    with look.taking():
                        self._flush(journal, look=looking)
                if saving:
                    with checkpoint.taking():
                        self._save()
        return signal

    def _open_journal(self, files: ExitStack) -> Journal | None:
        """The journal of rank 0, closed with ``files``; another rank has none."""
        with self.ranks.together():
            if self.ranks.first:
                if not self.done:
                    drop_results(self.run)
                return files.enter_context(Journal(self.run, resumed_at=self.training.round))
        return None

    def _save(self) -> None:
        """Write a checkpoint; only after a flush, which makes sure that every term since the last was finite."""
        players = self.training.game.players.values()
        weights = (parameter for player in players for parameter in player.parameters())
        kept = f"round {self._saved_at} is the last of which a checkpoint is sure: {resume_command(self.run)}"
        self.ranks.check_equal(f"weights after round {self.training.round}", weights, advice=kept)
        with self.ranks.together():
            if self.ranks.first:
                save_checkpoint(self.run / "checkpoints", self.training.state_dict())
        self._saved_at = self.training.round

    def _flush(self, journal: Journal | None, *, look: bool) -> None:
        """Write a row of what happened since the last, with a look at the samples if asked for, and show it."""
        self.means.spread(self.ranks.average)
        with self.ranks.together():
            row = self._row()
            if journal:
                self._show(journal, row, look=look)

    def _show(self, journal: Journal, row: dict[str, Any], *, look: bool) -> None:
        training, progress = self.training, self.progress
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
        samples = rounds * self.config.batch_size * self.rule.batches(training.game)
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
        game, average = self.training.game, self.training.average.module
        for folder, kept in looks(self.dataset, average, game.players.get("encoder"), self.config.model.latent).items():
            kept.save(self.run / folder, number)
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

    def finish(self, signal: int, *, report: bool = True) -> Outcome:
        """Score the result, unless a signal came first, and write the report; rank 0 does, and the others are done."""
        training = self.training
        scores: dict[str, float] = self._conclude(report) if self.ranks.first else {}
        interrupted = None if self.done else signal
        return Outcome(
            self.run, training.round, training.seconds, training.cpu_seconds, interrupted, scores, self.ranks.rank
        )

    def _conclude(self, report: bool) -> dict[str, float]:
        training = self.training
        scores: dict[str, float] = {}
        if self.done:
            scores = self._evaluate()
            result: dict[str, Any] = {"state": "finished", "round": training.round, "seconds": training.seconds}
            result |= {"cpu_seconds": training.cpu_seconds, "scores": scores, "alarm": last_alarm(self.run)}
            result |= {"look_seconds": self.look.spent, "checkpoint_seconds": self.checkpoint.spent}
            write_json(self.run / "result.json", result)
        if report:
            from training.report import write_report  # a second's import, which no start should wait for

            write_report(self.run)
        return scores

    def _evaluate(self) -> dict[str, float]:
        latent = self.config.model.latent
        found: dict[str, Any] = {}
        scores: dict[str, float] = {}
        if isinstance(self.dataset, Corpus):
            found, scores = text_metrics(self.training, self.dataset, latent)
        elif self.judge:
            found, scores = sample_metrics(self.training, self.judge, latent, self.dataset.asked)
        players, average = self.training.game.players, self.training.average.module
        finished = Finished(self.config, players, average, self.dataset, self.judge, self.training.round)
        measured: dict[str, float] = {}
        for measure in find_variant(self.config.variant).measures:
            measured |= measure(finished)
        if not scores and not measured:
            return {}
        found["measures"], scores = measured, {**scores, **measured}
        write_json(self.run / "metrics.json", {**found, "round": self.training.round})
        return scores
