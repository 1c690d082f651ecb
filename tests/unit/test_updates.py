"""Update rules on games whose every step is known: whose turn it is, what moves, what is reported."""

from __future__ import annotations

import math

import pytest
import torch
from small_games import NOTHING, Coordinate, Slope, batch_of, bilinear, descent, dirac
from torch import Tensor, nn
from torch.optim import Adam

from training.catalogue import make_game
from training.divergences import minimax, non_saturating
from training.game import Batch, Game
from training.games.two_player import two_player
from training.layering import resolve
from training.networks.roles import Roles
from training.updates import Alternating, Consensus, Extragradient, Optimistic, Simultaneous, UpdateRule

RULES = [
    Alternating(),
    Simultaneous(),
    Extragradient(),
    Optimistic(),
    Consensus(0.5),
    Consensus(0.5, "biased"),
    Consensus(0.5, "per-sample"),
    Consensus(0.5, "u-statistic"),
]
ONE_PLAYER_RULES = [Alternating(), Simultaneous(), Consensus(0.0)]


@pytest.mark.parametrize("turn", ["critic", "generator"])
def test_a_turn_moves_one_player_and_leaves_the_other_as_it_was(turn: str) -> None:
    game = dirac(non_saturating)
    game = Game(game.players, game.objective, (turn,))
    before = {name: game.players[name].at.detach().item() for name in game.players}
    Alternating().play_round(game, descent(game), lambda: NOTHING)
    for name, player in game.players.items():
        assert (player.at.detach().item() != before[name]) == (name == turn)
        assert player.at.requires_grad
        assert player.at.grad is None


def test_the_other_player_is_frozen_only_while_the_turn_lasts_even_if_it_fails() -> None:
    game = bilinear()
    with pytest.raises(RuntimeError, match="on the way"), game.only("x") as mine:  # noqa: PT012
        assert [p.requires_grad for p in mine] == [True]
        assert not game.players["y"].at.requires_grad
        raise RuntimeError("on the way")
    assert game.players["y"].at.requires_grad


def test_what_was_frozen_before_a_turn_is_frozen_after_it() -> None:
    game = bilinear()
    game.players["y"].register_parameter("fixed", nn.Parameter(torch.ones(1), requires_grad=False))
    with game.only("x"):
        pass
    assert [p.requires_grad for p in game.parameters("y")] == [True, False]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_parameter_that_no_term_uses_is_an_error_and_not_silence(rule: UpdateRule) -> None:
    game = bilinear()
    game.players["y"].register_parameter("idle", nn.Parameter(torch.ones(1, dtype=torch.float64)))
    with pytest.raises(RuntimeError, match="not have been used"):
        rule.play_round(game, descent(game), lambda: NOTHING)


@pytest.mark.parametrize("rule", ONE_PLAYER_RULES, ids=repr)
@pytest.mark.parametrize("transposed", ["gradient", "parameter"])
def test_a_gradient_laid_out_unlike_its_parameter_gives_the_same_fused_adam_step(
    rule: UpdateRule, transposed: str
) -> None:
    torch.manual_seed(0)
    start, scale = torch.randn(2, 6, 4)
    if transposed == "gradient":
        scale = scale.t().contiguous().t()
    player = nn.Module()
    player.weight = nn.Parameter(start.t().contiguous().t() if transposed == "parameter" else start.clone())

    def objective(batch: Batch) -> dict[str, Tensor]:
        return {"square": (scale * player.weight).square().sum() / 2}

    (gradient,) = torch.autograd.grad(objective(NOTHING)["square"], player.weight)
    assert gradient.stride() != player.weight.stride(), "otherwise nothing is tested"

    game = Game({"p": player}, {"p": objective}, ("p",))
    fused = {"p": Adam(player.parameters(), lr=0.1, fused=True)}
    reference = nn.Parameter(start.clone())
    plain = Adam([reference], lr=0.1, fused=False, foreach=False)
    for _ in range(3):
        rule.play_round(game, fused, lambda: NOTHING)
        reference.grad = (scale.square() * reference.detach()).contiguous()
        plain.step()
    torch.testing.assert_close(player.weight.detach(), reference.detach(), rtol=1e-5, atol=1e-5)


def test_alternating_draws_a_batch_a_turn_extragradient_two_a_round_and_the_others_one() -> None:
    for rule in RULES:
        drawn: list[Batch] = []
        game = two_player(Coordinate(), Slope(), minimax, n_critic=3)
        rule.play_round(game, descent(game), lambda drawn=drawn: drawn.append(NOTHING) or NOTHING)
        assert len(drawn) == rule.batches(game) == {"Alternating": 4, "Extragradient": 2}.get(type(rule).__name__, 1)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_projection_follows_each_move_of_its_player(rule: UpdateRule) -> None:
    calls: list[float] = []
    critic = Slope()
    game = two_player(
        Coordinate(), critic, minimax, n_critic=3, project=lambda: calls.append(critic.at.detach().item())
    )
    rule.play_round(game, descent(game), lambda: NOTHING)
    assert len(calls) == {"Alternating": 3, "Extragradient": 2}.get(type(rule).__name__, 1)
    assert 1.0 not in calls, "the projection comes after the step"


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_every_term_is_reported_under_its_players_name(rule: UpdateRule) -> None:
    game = bilinear(3.0, 4.0)
    # Without steps every value is that of the start.
    terms = rule.play_round(game, descent(game, h=0.0), lambda: NOTHING)
    expected = {"x/product": 12.0, "gradient_norm/x": 4.0, "y/product": -12.0, "gradient_norm/y": 3.0}
    if isinstance(rule, Consensus):
        # The field is (4, -3), and half its square pulls by 0.5 (3, 4).
        expected |= {"consensus/squared_field": 25.0, "consensus/step_norm": math.hypot(5.5, -1.0)}
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(expected)
    assert not any(value.requires_grad for value in terms.values())


def test_only_the_alternating_rule_follows_the_turns() -> None:
    assert [rule for rule in RULES if rule.follows_turns] == [Alternating()]


def test_a_term_of_several_turns_is_reported_as_their_mean() -> None:
    x = Coordinate(1.0)
    game = Game({"x": x}, {"x": lambda _: {"line": 1.0 * x.at, "more": 2.0 * x.at}}, ("x",) * 3)
    terms = Alternating().play_round(game, descent(game), lambda: NOTHING)
    # Each step subtracts h * 3.
    assert terms["x/line"].item() == pytest.approx((1.0 + 0.7 + 0.4) / 3)
    assert terms["x/more"].item() == pytest.approx(2 * (1.0 + 0.7 + 0.4) / 3)
    assert terms["gradient_norm/x"].item() == pytest.approx(3.0)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_each_rule_plays_wgan_gp_on_text(rule: UpdateRule) -> None:
    torch.manual_seed(0)
    size = {"model.width": 4, "model.depth": 1, "model.kernel": 3, "model.latent": 3, "n_critic": 2}
    config, _ = resolve({"test": size})
    game = make_game(Roles("text", (5, 6), config), config)
    optimizers = {name: Adam(game.parameters(name), lr=1e-3, fused=True) for name in game.players}
    before = {name: [p.detach().clone() for p in game.parameters(name)] for name in game.players}

    def draw() -> Batch:
        return batch_of(nn.functional.one_hot(torch.randint(6, (4, 5)), 6).float(), torch.randn(4, 3))

    for _ in range(2):
        terms = rule.play_round(game, optimizers, draw)
        assert all(torch.isfinite(value) for value in terms.values())
    expected = {"critic/wasserstein", "critic/gradient_penalty", "generator/wasserstein"}
    expected |= {"gradient_norm/critic", "gradient_norm/generator"}
    expected |= {"consensus/squared_field", "consensus/step_norm"} if isinstance(rule, Consensus) else set()
    assert terms.keys() == expected
    for name in game.players:
        pairs = zip(before[name], game.parameters(name), strict=True)
        assert any(not torch.equal(old, new) for old, new in pairs)


def test_a_game_that_names_a_stranger_is_refused() -> None:
    x = Coordinate()
    for wrong in ({"turns": ("z",)}, {"project": {"z": print}}, {"objective": {}}):
        arguments = {"players": {"x": x}, "objective": {"x": lambda _: {}}, "turns": ("x",), **wrong}
        with pytest.raises(ValueError, match=r"players are \['x'\]"):
            Game(**arguments)
