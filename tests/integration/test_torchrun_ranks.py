"""A run of two ranks: one folder, one voice, one end; what goes wrong on one of them ends them all with one message."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import in_ranks
from small_runs import CPU

from model.errors import CharwganError, ConfigurationError, RunError, RunExistsError
from training import session
from training.checkpoint import load_checkpoint
from training.display import SilentDisplay
from training.distributed import RankLostError, Ranks, joined
from training.game import Batch
from training.job import Outcome, train
from training.journal import NonFiniteError, read_log
from training.loop import Draws
from training.pauses import Meetings
from training.plan import plan

LOST = 3


class Spoken(SilentDisplay):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def play(run: Path, rounds: int = 6, *, resume: bool = False, **changed: Any) -> Any:
    """The outcome and what was said, or the error, or the code with which a rank left in silence."""
    tiny = {"preset": "tiny", "device": "cpu", "model.width": 8, "model.depth": 1, "model.latent": 4, "batch_size": 12}
    small = {"data.sources": ["builtin:ring"], "log_seconds": 1e-3, "max_seconds": 600.0, "max_rounds": rounds}
    config, _ = plan({"flag": {**tiny, **small, **changed}})
    display = Spoken()
    try:
        return train(config, run, display, resume=resume), display.said
    except CharwganError as error:
        return error
    except SystemExit as left:
        return left.code


def undisturbed(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    return play(folder, variant="gan")


def already_there(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    return play(folder, variant="gan")


def restarted(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    patch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    return play(folder, 9, variant="gan")


def restarted_before_it_began(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    patch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    return play(folder.with_name("begun"))


def restarted_with_another_configuration(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    patch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    return play(folder, variant="wgan")


def indivisible(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    return play(folder.with_name("odd"), batch_size=13)


def too_small(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    return play(folder.with_name("small"), batch_size=2)


def on_a_stream(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    return play(folder.with_name("stream"), **{"data.sources": ["-"]})


def other_data(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    return play(folder.with_name("other"), **{"data.sources": ["builtin:ring" if rank == 0 else "builtin:grid"]})


def missing_data_on_one(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    return play(folder.with_name("lacking"), **{"data.sources": ["builtin:ring" if rank == 0 else "nowhere.txt"]})


def not_finite_on_one(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    batch = Draws.batch

    def spoiled(self: Draws, number: int, turn: int) -> Batch:
        drawn = batch(self, number, turn)
        return replace(drawn, latent=drawn.latent * torch.nan) if self.rank == 1 and number == 3 else drawn

    patch.setattr(Draws, "batch", spoiled)
    return play(folder.with_name("infinite"), 10**6)


def drifting(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    average = Ranks.average

    def wrong(self: Ranks, tensors: Any) -> Any:
        return [mean * (1 + 1e-6 * self.rank) for mean in average(self, tensors)]

    patch.setattr(Ranks, "average", wrong)
    return play(folder.with_name("drifted"))


def full_disk(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    def full(*_: Any) -> None:
        raise RunError("no space left")

    patch.setattr(session, "save_checkpoint", full)
    return play(folder.with_name("full"))


def signalled(folder: Path, patch: pytest.MonkeyPatch, rank: int) -> Any:
    meet = Meetings.meet

    def met(self: Meetings, received: list[int]) -> int:
        if rank == 1 and self._training.round > 3 and not received:
            os.kill(os.getpid(), signal.SIGTERM)
        return meet(self, received)

    patch.setattr(Meetings, "meet", met)
    return play(folder.with_name("signalled"), 10**6)


SCENES: list[Callable[[Path, pytest.MonkeyPatch, int], Any]] = [
    undisturbed,
    already_there,
    restarted,
    restarted_before_it_began,
    restarted_with_another_configuration,
    indivisible,
    too_small,
    on_a_stream,
    other_data,
    missing_data_on_one,
    not_finite_on_one,
    drifting,
    full_disk,
    signalled,
]


def play_scenes(folder: Path) -> dict[str, Any]:
    """All in one group of ranks, which is quicker than one for each."""
    found = {}
    with joined(CPU) as ranks:
        for scene in SCENES:
            with pytest.MonkeyPatch.context() as patch:
                found[scene.__name__] = scene(folder / "run", patch, ranks.rank)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def ends(folder: Path) -> list[dict[str, Any]]:
    return in_ranks(2, play_scenes, folder)


def outcomes(ends: list[dict[str, Any]], scene: Callable[..., Any]) -> tuple[Any, Any]:
    first, second = (end[scene.__name__] for end in ends)
    return first, second


def test_one_run_is_written_and_told_of_by_the_first(ends: list[dict[str, Any]], folder: Path) -> None:
    (first, said), (second, silence) = outcomes(ends, undisturbed)
    assert isinstance(first, Outcome)
    assert (first.round, first.rank, second.round, second.rank) == (6, 0, 6, 1)
    assert "2 ranks, each with 6 samples of a batch" in said
    assert silence == []
    # Continued later to round 9 by another scene.
    assert [row["round"] for row in read_log(folder / "run")][-1] == 9


def test_a_folder_that_holds_a_run_is_refused_once(ends: list[dict[str, Any]]) -> None:
    first, second = outcomes(ends, already_there)
    assert isinstance(first, RunExistsError)
    assert second == 2


def test_a_restarted_job_continues_its_run_by_itself(ends: list[dict[str, Any]]) -> None:
    (first, said), (second, _) = outcomes(ends, restarted)
    assert "continuing at round 6" in said
    assert first.round == second.round == 9


def test_a_restarted_job_that_had_not_begun_begins(ends: list[dict[str, Any]]) -> None:
    (first, _), (second, _) = outcomes(ends, restarted_before_it_began)
    assert first.round == second.round == 6


@pytest.mark.parametrize(
    ("scene", "kind", "message"),
    [
        (restarted_with_another_configuration, RunError, "variant: 'gan' -> 'wgan'"),
        (indivisible, ConfigurationError, "a multiple of their number, 2, .* got 13: ask for 12 or 14"),
        (too_small, ConfigurationError, "with at least 2 for each, got 2: ask for 4"),
        (on_a_stream, ConfigurationError, "2 ranks cannot all read the stream -: write it to a file first"),
        (other_data, RunError, "rank 1 of 2 has other data than rank 0"),
        (missing_data_on_one, RunError, "rank 1: .*nowhere.txt"),
        (not_finite_on_one, NonFiniteError, "became nan"),
        (drifting, RunError, "rank 1 of 2 has other weights after round 6 than rank 0"),
        (full_disk, RunError, "no space left"),
    ],
)
def test_what_goes_wrong_ends_all_ranks_with_one_message(
    ends: list[dict[str, Any]], scene: Callable[..., Any], kind: type[CharwganError], message: str
) -> None:
    first, second = outcomes(ends, scene)
    with pytest.raises(kind, match=message):
        raise first
    assert second == first.exit_code


def test_a_signal_to_one_rank_ends_all_after_a_checkpoint(ends: list[dict[str, Any]], folder: Path) -> None:
    (first, _), (second, _) = outcomes(ends, signalled)
    assert first.signal == second.signal == signal.SIGTERM
    state = load_checkpoint(folder / "signalled" / "checkpoints", CPU)
    assert state is not None
    assert state["round"] == first.round == second.round > 3


def test_the_log_has_the_terms_of_the_whole_batch(ends: list[dict[str, Any]], folder: Path, tmp_path: Path) -> None:
    play(tmp_path, variant="gan")
    two, one = (next(iter(read_log(run))) for run in (folder / "run", tmp_path))
    assert two["round"] == one["round"] == 1
    names = [name for name in one if "/" in name]
    assert "critic/non_saturating" in names
    assert {name: two[name] for name in names} == pytest.approx({name: one[name] for name in names}, rel=1e-4)


def test_a_run_goes_on_with_another_number_of_ranks(ends: list[dict[str, Any]], folder: Path) -> None:
    outcome, said = play(folder / "signalled", 10**6, resume=True, max_rounds=ends[0]["signalled"][0].round + 2)
    assert f"continuing at round {ends[0]['signalled'][0].round}" in said
    assert outcome.round == ends[0]["signalled"][0].round + 2


def leave_in_the_middle(run: Path) -> Any:
    batch = Draws.batch

    def leaving(self: Draws, number: int, turn: int) -> Batch:
        if self.rank == 1 and number == 3:
            raise SystemExit(LOST)
        return batch(self, number, turn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Draws, "batch", leaving)
        return play(run)


def test_a_rank_that_is_gone_is_told_of_and_nothing_is_saved(tmp_path: Path) -> None:
    first, second = in_ranks(2, leave_in_the_middle, tmp_path / "run")
    assert second == LOST
    assert isinstance(first, RankLostError)
    assert "rank 0 of 2 lost another one or the way to it" in str(first)
    assert load_checkpoint(tmp_path / "run" / "checkpoints", CPU) is None
