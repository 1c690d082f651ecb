"""Extragradient and optimistic steps: what they look at, what they leave as it was, what they remember."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from small_games import NOTHING, Coordinate, H, Slope, batch_of, bilinear, descent, linear, play, position
from small_runs import CPU, begin, configured, data_of, lasting, rounds
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop

from training.checkpoint import from_bytes, to_bytes
from training.cures import average_history
from training.divergences import wasserstein
from training.game import Game
from training.games.two_player import two_player
from training.penalties import clip_weights
from training.snapshot import undone
from training.updates import Extragradient, Optimistic, Simultaneous, UpdateRule

Make = Callable[[Sequence[nn.Parameter]], Optimizer]
MAKERS: dict[str, Make] = {
    "adam": lambda p: Adam(p, lr=0.01, betas=(0.5, 0.9), fused=True),
    "adamw": lambda p: AdamW(p, lr=0.01, weight_decay=0.1),
    "nadam": lambda p: NAdam(p, lr=0.01),
    "rmsprop": lambda p: RMSprop(p, lr=0.01, momentum=0.3),
    "adagrad": lambda p: Adagrad(p, lr=0.01, initial_accumulator_value=0.2),
    "sgd": lambda p: SGD(p, lr=0.01),
    "momentum": lambda p: SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1),
}
SPIRAL = np.array([[0.3, 1.2], [-0.8, 0.1]])


class ByHand:
    """Two numbers, an optimiser each, and their field, which is a spiral."""

    def __init__(self, make: Make) -> None:
        self.at = [nn.Parameter(torch.tensor(1.0, dtype=torch.float64)) for _ in range(2)]
        self.optimizers = [make([each]) for each in self.at]

    @property
    def field(self) -> np.ndarray:
        return SPIRAL @ np.array([each.item() for each in self.at])

    def step(self, gradients: np.ndarray) -> None:
        for parameter, optimizer, gradient in zip(self.at, self.optimizers, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
            optimizer.step()


def extragradient(hand: ByHand, steps: int) -> None:
    for _ in range(steps):
        looking = copy.deepcopy(hand)
        looking.step(looking.field)
        hand.step(looking.field)


def optimistic(hand: ByHand, steps: int) -> None:
    last = hand.field
    for _ in range(steps):
        now = hand.field
        hand.step(2 * now - last)
        last = now


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("rule", "walk"), [(Extragradient(), extragradient), (Optimistic(), optimistic)], ids=["extra", "optimistic"]
)
def test_any_optimiser_takes_these_steps(name: str, rule: UpdateRule, walk: Callable[[ByHand, int], None]) -> None:
    hand, game = ByHand(MAKERS[name]), linear(SPIRAL)
    optimizers = {player: MAKERS[name](game.parameters(player)) for player in game.players}
    walk(hand, 4)
    for _ in range(4):
        rule.play_round(game, optimizers, lambda: NOTHING)
    assert position(game) == pytest.approx([each.item() for each in hand.at], rel=1e-9)


def test_the_first_optimistic_step_is_a_plain_one() -> None:
    for name, make in MAKERS.items():
        ends = []
        for rule in (Optimistic(), Simultaneous()):
            game = bilinear(3.0, -2.0)
            rule.play_round(game, {each: make(game.parameters(each)) for each in game.players}, lambda: NOTHING)
            ends.append([*position(game)])
        assert ends[0] == ends[1], name


def test_extragradient_looks_with_one_batch_and_moves_with_the_next() -> None:
    x = Coordinate(1.0)
    game = Game({"x": x}, {"x": lambda batch: {"loss": batch.real.mean() * x.at.square() / 2}}, ("x",))
    batches = iter([batch_of(torch.full((2, 1), slope), torch.zeros(2, 1)) for slope in (3.0, 5.0)])
    terms = Extragradient().play_round(game, descent(game), lambda: next(batches))
    looked = 1 - H * 3
    assert x.at.item() == pytest.approx(1 - H * 5 * looked, rel=1e-6)
    # What is reported is of the step that is taken.
    assert terms["x/loss"].item() == pytest.approx(5 * looked**2 / 2, rel=1e-6)
    assert terms["gradient_norm/x"].item() == pytest.approx(5 * looked, rel=1e-6)


def test_where_extragradient_looks_is_projected_too() -> None:
    seen: list[float] = []
    critic, generator = Slope(0.9), Coordinate(-5.0)
    game = two_player(generator, critic, wasserstein, project=clip_weights(critic, 1.0))
    spy = {**game.objective, "generator": lambda b: seen.append(critic.at.item()) or game.objective["generator"](b)}
    Extragradient().play_round(Game(game.players, spy, game.turns, game.project), descent(game), lambda: NOTHING)
    assert seen == [pytest.approx(0.9), 1.0]
    assert critic.at.item() == 1.0
    assert generator.at.item() == pytest.approx(-5.0 + H * 1.0), "by the slope where it looked"


def test_a_look_ahead_leaves_no_trace_in_buffers_nor_in_what_is_kept_of_the_run() -> None:
    game = average_history(bilinear(), 0.3)
    play(game, Extragradient(), 3)
    history = game.memory["history of x"]
    assert int(history.count) == 4, "where it began, and three moves"

    norm = nn.BatchNorm1d(2)
    counting = Game({"p": norm}, {"p": lambda batch: {"out": norm(batch.real.expand(-1, 2)).square().sum()}}, ("p",))
    draws = iter([batch_of(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))] * 2)
    Extragradient().play_round(counting, descent(counting), lambda: next(draws))
    assert int(norm.num_batches_tracked) == 0, "as before the look: both batches were only looked at"


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_undone_is_at_its_place_as_it_was(name: str) -> None:
    game = linear(SPIRAL)
    optimizers = {player: MAKERS[name](game.parameters(player)) for player in game.players}

    def held() -> list[Tensor]:
        states = (state for each in optimizers.values() for state in each.state.values())
        return [value for state in states for value in state.values() if isinstance(value, Tensor)]

    for begun in (False, True):
        places, before = held(), [tensor.clone() for tensor in held()]
        with undone(game, optimizers):
            Simultaneous().play_round(game, optimizers, lambda: NOTHING)
        assert all(one is other for one, other in zip(places, held(), strict=True))
        assert all(torch.equal(one, other) for one, other in zip(before, held(), strict=True))
        if not begun:
            assert [*position(game)] == [1.0, 1.0]
            Simultaneous().play_round(game, optimizers, lambda: NOTHING)


def test_it_is_undone_even_if_it_fails() -> None:
    game = bilinear()
    with pytest.raises(RuntimeError, match="on the way"), undone(game, descent(game)):  # noqa: PT012
        play(game, Simultaneous(), 1)
        raise RuntimeError("on the way")
    assert [*position(game)] == [1.0, 1.0]


def test_a_state_of_zeros_remembers_no_gradient() -> None:
    game, fresh = bilinear(3.0, -2.0), bilinear(3.0, -2.0)
    optimizers = descent(game)
    with undone(fresh, optimizers):
        pass
    Optimistic().play_round(game, optimizers, lambda: NOTHING)
    for optimizer in optimizers.values():
        for state in optimizer.state.values():
            for value in state.values():
                value.zero_()
    with torch.no_grad():
        for player, start in (("x", 3.0), ("y", -2.0)):
            game.players[player].at.fill_(start)
    Optimistic().play_round(game, optimizers, lambda: NOTHING)
    assert [*position(game)] == [*play(fresh, Simultaneous(), 1)]


def test_a_run_that_becomes_optimistic_begins_with_a_plain_step() -> None:
    config, data = configured("gan", optimizer="adam"), data_of("points")
    plain, optimist = begin(config, data), begin(config, data)
    rounds(plain, config.model_copy(update={"update": "simultaneous"}), data, 2)
    optimist.load_state_dict(from_bytes(to_bytes(plain.state_dict()), CPU))
    rounds(plain, config.model_copy(update={"update": "simultaneous"}), data, 1)
    rounds(optimist, config.model_copy(update={"update": "optimistic"}), data, 1)
    after, expected = (lasting(each)["players"] for each in (optimist, plain))
    for player in after:
        assert all(torch.equal(after[player][name], value) for name, value in expected[player].items())
