"""Historical averaging: a mean of known moves, a pull of known strength, and what of it lasts."""

from __future__ import annotations

import pytest
import torch
from small_games import NOTHING, Coordinate, H, bilinear, descent, dirac, play

from training.cures import average_history
from training.divergences import minimax
from training.game import Game
from training.updates import Alternating, Consensus, Extragradient, Optimistic, Simultaneous, UpdateRule

RULES = [Alternating(), Simultaneous(), Consensus(0.5), Consensus(0.5, "biased"), Extragradient(), Optimistic()]


def line(speed: float = 1.0) -> Game:
    """One player, whose own loss moves it by -H * speed a round."""
    x = Coordinate(2.0)
    return Game({"x": x}, {"x": lambda _: {"line": speed * x.at}}, ("x",))


def mean(game: Game, player: str) -> tuple[int, float]:
    history = game.memory[f"history of {player}"]
    return int(history.count), float(history.mean0)


def test_the_mean_is_that_of_where_it_began_and_of_every_move() -> None:
    game = average_history(line(), 0.0)
    places = [2.0, *(play(game, Alternating(), 1)[0] for _ in range(5))]
    assert places == pytest.approx([2.0 - H * i for i in range(6)])
    assert mean(game, "x") == (6, pytest.approx(sum(places) / 6, rel=1e-12))


@pytest.mark.parametrize("weight", [0.5, 3.0])
def test_a_move_is_pulled_to_the_mean_of_those_before_as_part_of_the_loss(weight: float) -> None:
    game, place, past = average_history(line(), weight), 2.0, [2.0]
    for _ in range(6):
        apart = place - sum(past) / len(past)
        loss, terms = game.loss("x", NOTHING)
        assert {name: term.item() for name, term in terms.items()} == pytest.approx(
            {"line": place, "history": weight * apart**2}, rel=1e-9, abs=1e-15
        )
        assert loss.item() == pytest.approx(place + weight * apart**2, rel=1e-9)
        place -= H * (1 + 2 * weight * apart)
        past.append(place)
        assert play(game, Alternating(), 1)[0] == pytest.approx(place, rel=1e-12)


def test_the_first_move_of_each_player_is_that_without() -> None:
    for rule in (Alternating(), Simultaneous()):
        plain, averaged = (play(game, rule, 1) for game in (bilinear(), average_history(bilinear(), 5.0)))
        assert list(plain) == list(averaged), "there is no past to be pulled to"


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_every_player_has_a_history_of_all_its_moves(rule: UpdateRule) -> None:
    game = average_history(bilinear(), 0.1)
    places = [[1.0, 1.0], *(play(game, rule, 1) for _ in range(4))]
    for i, player in enumerate(("x", "y")):
        assert mean(game, player) == (5, pytest.approx(sum(place[i] for place in places) / 5, rel=1e-12))
    assert {"x/history", "y/history"} <= rule.play_round(game, descent(game), lambda: NOTHING).keys()


def test_a_critic_that_moves_three_times_a_round_counts_three() -> None:
    game = dirac(minimax)
    game = average_history(Game(game.players, game.objective, ("critic",) * 3 + ("generator",)), 0.1)
    play(game, Alternating(), 2)
    assert (mean(game, "critic")[0], mean(game, "generator")[0]) == (7, 3)


def test_the_mean_follows_the_projection_of_a_move() -> None:
    game = line()

    def clip() -> None:
        with torch.no_grad():
            game.players["x"].at.clamp_(max=1.5)

    averaged = average_history(Game(game.players, game.objective, game.turns, project={"x": clip}), 0.0)
    assert play(averaged, Alternating(), 1)[0] == 1.5
    assert mean(averaged, "x") == (2, 1.75)


def test_it_damps_the_rotation_of_the_bilinear_game() -> None:
    # Salimans et al. 2016: gradient descent goes round in such games, and with this term it need not.
    wide, near = (abs(play(game, Simultaneous(), 500)).max() for game in (bilinear(), average_history(bilinear(), 1.0)))
    assert near < 1 < 10 < wide


def test_the_means_are_buffers_that_nothing_moves_and_a_state_brings_back() -> None:
    game = average_history(bilinear(), 0.1)
    play(game, Alternating(), 3)
    assert not any(list(module.parameters()) for module in game.memory.values())
    again = average_history(bilinear(), 0.1)
    for name, module in again.memory.items():
        module.load_state_dict(game.memory[name].state_dict())
    assert [mean(again, player) for player in "xy"] == [mean(game, player) for player in "xy"]


def test_what_a_game_remembers_besides_stays() -> None:
    other = torch.nn.Identity()
    game = bilinear()
    game = average_history(Game(game.players, game.objective, game.turns, memory={"other": other}), 0.1)
    assert game.memory.keys() == {"other", "history of x", "history of y"}


def test_the_distance_is_over_all_weights_together() -> None:
    x = torch.nn.Linear(2, 3).double()
    game = average_history(Game({"x": x}, {"x": lambda _: {"none": 0 * x.weight.sum() + 0 * x.bias.sum()}}, ("x",)), 2)
    with torch.no_grad():
        for parameter in x.parameters():
            parameter += 0.5
    assert game.loss("x", NOTHING)[0].item() == pytest.approx(2 * 9 * 0.25)
