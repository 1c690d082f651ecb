"""Whole rounds as one CUDA graph: every move, every projection and the moving average, launched at once.

A round of small networks costs a GPU less time than the launching of its kernels does, one after the other.  A graph
holds them all, with the addresses of what they read and write, and is launched as one.

What is random in a round is drawn on the host as it always is, by (seed, round, turn), while the GPU plays the round
before, and is copied to where the graph reads.  So a captured round has the batches of any other, a run may change
between the two at any round, and checkpoints are the same.

Nothing here but ``cuda_graph`` needs a GPU: with a plain call in its place, rounds are the same on a CPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from training.game import Batch, Terms
from training.inputs import Inputs
from training.snapshot import furthest, restore, snapshot, tensors_of
from training.updates import Draw

if TYPE_CHECKING:
    from training.loop import Draws, Training

logger = logging.getLogger("charwgan.training")

WARM_ROUNDS = 3  # before a capture, in which libraries choose kernels and take their memory
# Between a captured and an eager round, in parts of what the round changed.  Kernels may add in another order, of which
# Adam makes whole steps where a gradient is 0 but for rounding; a graph that misses something is apart by half or more.
TOLERANCE = 0.1

Play = Callable[[], Terms]
"""Plays the next round of a training and returns its terms; counting it is left to the caller."""
Move = Callable[[Draw, "float | Tensor"], Terms]
"""Plays one round on the batches that are drawn, and lets the average follow by the share that is given."""
Record = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes a call, which it may make some times, and returns another that repeats what it does on the device."""
Say = Callable[[str], None]


def way_of_playing(training: Training, draws: Draws, move: Move, turns: int | None, say: Say = logger.info) -> Play:
    """How the rounds of a training are played: captured on one GPU, if that does the same, else move by move.

    turns: batches that a round draws, None where that changes from round to round.
    say: is told which of the two it is, and why, where there is a choice.
    """
    if draws.device.type == "cuda":
        if turns is None:
            say("each kernel is launched by itself: the turns of this game change from round to round")
        elif draws.ranks > 1:
            say("each kernel is launched by itself: a CUDA graph would wait for ever for another rank that is gone")
        else:
            return checked(training, draws, move, turns, say)
    return eager(training, draws, move)


def eager(training: Training, draws: Draws, move: Move) -> Play:
    """Rounds move by move, every kernel launched by itself."""
    return lambda: move(draws.of_round(training.round), training.average.share(training.round))


def checked(training: Training, draws: Draws, move: Move, turns: int, say: Say, record: Record | None = None) -> Play:
    """Captured rounds, if the next one changes a training as it does when it is eager; else eager ones.

    The training is left as it was, but that optimisers which had no state yet have one of zeros.
    """
    plainly, start = eager(training, draws, move), snapshot(training)
    watched = _Watched(draws.of_round(training.round), draws.device)
    move(watched, training.average.share(training.round))
    expected = snapshot(training)
    restore(training, start)
    if watched.restless:
        say("each kernel is launched by itself: a network of this game draws random numbers of its own")
        return plainly
    try:
        captured = Captured(training, draws, move, turns, record or cuda_graph)
        captured()
        found = snapshot(training)
    # What torch raises of an operation that cannot be captured has no narrower name; its optimisers only assert.
    except (RuntimeError, AssertionError) as error:
        say(f"warning: each kernel is launched by itself, as a round cannot be captured: {_first_line(error)}")
        return plainly
    finally:
        restore(training, start)
    name, apart = furthest(expected, found, start)
    if not apart <= TOLERANCE:
        say(f"warning: each kernel is launched by itself, as a captured round changes {name} otherwise, by {apart:.2g}")
        return plainly
    say(f"each round is one CUDA graph, with the training rows {'on the GPU' if captured.resident else 'sent to it'}")
    return captured


class Captured:
    """Rounds of a training as one graph, which is recorded again when something that it holds is replaced."""

    def __init__(self, training: Training, draws: Draws, move: Move, turns: int, record: Record) -> None:
        self._training, self._move, self._record = training, move, record
        self._inputs = Inputs(draws, turns)
        self._names: list[str] = []
        self._values = torch.empty(0)
        self._capture()

    @property
    def resident(self) -> bool:
        """Whether the training rows lie on the device."""
        return self._inputs.store.resident

    def __call__(self) -> Terms:
        """As ``Play``; the terms are the caller's own."""
        if not _same(self._held, _held(self._training)):
            self._capture()
        self._fill(self._training.round)
        self._replay()
        return dict(zip(self._names, self._values.clone().unbind(), strict=True))

    def _capture(self) -> None:
        """Record a round, and undo what that played."""
        _steps_on_the_device(self._training.optimizers.values())
        start = snapshot(self._training)
        try:
            # Of another round than the next, so that a check of the next finds what did not come from the inputs.
            self._fill(self._training.round + 1)
            self._replay = self._record(self._round)
        finally:
            restore(self._training, start)
        self._held = _held(self._training)

    def _fill(self, number: int) -> None:
        self._inputs.fill(number, self._training.average.share(number))

    def _round(self) -> None:
        turns = count()
        with _capturable(self._training.optimizers.values()):
            terms = self._move(lambda: self._inputs.batch(next(turns)), self._inputs.share)
        self._names, self._values = list(terms), torch.stack([value.float() for value in terms.values()])


class _Watched:
    """Batches as they are drawn, and whether torch's generator has moved since the one before was given out."""

    def __init__(self, draw: Draw, device: torch.device) -> None:
        self._draw, self._device = draw, device
        self._moved, self._given = False, self._state()

    def __call__(self) -> Batch:
        self._moved = self.restless
        batch = self._draw()
        self._given = self._state()
        return batch

    @property
    def restless(self) -> bool:
        return self._moved or not torch.equal(self._given, self._state())

    def _state(self) -> Tensor:
        return torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else torch.get_rng_state()


def cuda_graph(work: Callable[[], None]) -> Callable[[], None]:
    """As ``Record``: warmed up and captured on a stream of its own.  Raises RuntimeError if that cannot be done."""
    stream, current = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(current)
    try:
        with torch.cuda.stream(stream):
            for _ in range(WARM_ROUNDS):
                work()
    finally:
        current.wait_stream(stream)  # what is undone now must not overtake what was played
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            work()
    finally:
        torch.cuda.set_stream(current)  # a capture that fails leaves its own in place
    return graph.replay


def _steps_on_the_device(optimizers: Iterable[Optimizer]) -> None:
    """Let those that can step in a capture count where their weights are; some have begun to on the CPU."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"] if "capturable" in group else ():
                held = optimizer.state.get(parameter, {})
                held.update({name: count.to(parameter.device) for name, count in held.items() if name == "step"})


@contextmanager
def _capturable(optimizers: Iterable[Optimizer]) -> Iterator[None]:
    """Let optimisers step in a capture; elsewhere they would warn of the mark, and checkpoints would hold it."""
    capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
    marked = [group for each in optimizers for group in each.param_groups if capturing and "capturable" in group]
    before = [group["capturable"] for group in marked]
    for group in marked:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, mark in zip(marked, before, strict=True):
            group["capturable"] = mark


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _held(training: Training) -> list[Any]:
    """What a graph holds and a round does not change: the optimisers' tensors and settings.

    Loading a state puts others in their place; weights and averages are loaded where they are.
    """
    found: list[Any] = []
    for optimizer in training.optimizers.values():
        found += [tensor for _, tensor in tensors_of(optimizer)]
        for group in optimizer.param_groups:
            found += [value for key, value in group.items() if key != "params"]
    return found


def _same(one: list[Any], other: list[Any]) -> bool:
    """Whether two lists hold the same tensors, not only equal ones, and equal settings."""
    return len(one) == len(other) and all(
        a is b if isinstance(a, Tensor) else a == b for a, b in zip(one, other, strict=True)
    )
