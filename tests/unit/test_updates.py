"""Update rules on games whose every step is known: bilinear, Dirac-GAN, and a noisy linear one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from training.catalogue import make_game
from training.configuration import resolve
from training.divergences import Divergence, minimax, non_saturating
from training.game import Batch, Game
from training.games.two_player import two_player
from training.journal import Means, NonFiniteError
from training.networks.roles import Roles
from training.updates import Alternating, Consensus, Simultaneous, UpdateRule

H, STEPS = 0.1, 500
NOTHING = Batch(torch.zeros(2, 1, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64))
RULES = [Alternating(), Simultaneous(), Consensus(0.5), Consensus(0.5, "biased")]
ONE_PLAYER_RULES = [Alternating(), Simultaneous(), Consensus(0.0)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads cost more than they give in networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Coordinate(nn.Module):
    """One number that a player moves."""

    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, latent: Tensor) -> Tensor:
        return self.at.expand(len(latent), 1)


class Slope(Coordinate):
    """The critic psi * x."""

    def forward(self, x: Tensor) -> Tensor:
        return self.at * x[:, 0]


def bilinear(x: float = 1.0, y: float = 1.0) -> Game:
    """min over x, max over y of x * y."""
    one, other = Coordinate(x), Coordinate(y)
    return Game(
        players={"x": one, "y": other},
        objective={"x": lambda _: {"product": one.at * other.at}, "y": lambda _: {"product": -one.at * other.at}},
        turns=("x", "y"),
    )


def dirac(divergence: Divergence, psi: float = 1.0, theta: float = 1.0) -> Game:
    """Data is the point 0, the generator the point theta, the critic the line psi * x.  Mescheder et al. 2018."""
    return two_player(Coordinate(theta), Slope(psi), divergence)


def descent(game: Game, h: float = H) -> dict[str, SGD]:
    return {name: SGD(game.parameters(name), lr=h) for name in game.players}


def position(game: Game) -> np.ndarray:
    return np.array([p.detach().item() for name in game.players for p in game.parameters(name)])


def play(game: Game, rule: UpdateRule, steps: int = STEPS, draw: Callable[[], Batch] = lambda: NOTHING) -> np.ndarray:
    optimizers = descent(game)
    for _ in range(steps):
        rule.play_round(game, optimizers, draw)
    return position(game)


def test_simultaneous_steps_spiral_out_of_the_bilinear_game() -> None:
    distance = np.linalg.norm(play(bilinear(), Simultaneous()))
    assert distance == pytest.approx(math.sqrt(2) * (1 + H**2) ** (STEPS / 2), rel=1e-10)
    assert distance == pytest.approx(17.02, abs=0.005)


def test_alternating_steps_orbit_in_the_bilinear_game() -> None:
    where = play(bilinear(), Alternating())
    step = np.array([[1, -H], [H, 1 - H**2]])
    assert where == pytest.approx(np.linalg.matrix_power(step, STEPS) @ [1, 1], rel=1e-9)
    assert np.linalg.norm(where) == pytest.approx(1.41, abs=0.05)
    # x^2 + y^2 - h x y never changes: the orbit is an ellipse.
    x, y = where
    assert x**2 + y**2 - H * x * y == pytest.approx(2 - H, rel=1e-10)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_consensus_converges_in_the_bilinear_game(estimator: str) -> None:
    # Without noise two half batches have one field, and both estimators the same square.
    distance = np.linalg.norm(play(bilinear(), Consensus(1.0, estimator)))
    assert distance == pytest.approx(math.sqrt(2) * ((1 - H) ** 2 + H**2) ** (STEPS / 2), rel=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0])
def test_one_consensus_step_is_the_field_and_gamma_times_its_pull(gamma: float) -> None:
    x, y = play(bilinear(3.0, -2.0), Consensus(gamma, "biased"), steps=1)
    assert x == pytest.approx(3.0 - H * (-2.0 + gamma * 3.0), rel=1e-12)
    assert y == pytest.approx(-2.0 - H * (-3.0 + gamma * -2.0), rel=1e-12)


@pytest.mark.parametrize("divergence", [minimax, non_saturating], ids=lambda d: d.name)
def test_the_pull_is_the_gradient_of_half_the_squared_field_by_differences(divergence: Divergence) -> None:
    def field(psi: float, theta: float) -> np.ndarray:
        moved = play(dirac(divergence, psi, theta), Simultaneous(), steps=1)
        return (np.array([psi, theta]) - moved) / H

    at, gamma, d = (0.7, -1.3), 1.7, 1e-5
    moved = play(dirac(divergence, *at), Consensus(gamma), steps=1)
    pull = ((np.array(at) - moved) / H - field(*at)) / gamma
    energy = [[(field(at[0] + a * s, at[1] + b * s) ** 2).sum() / 2 for s in (d, -d)] for a, b in ((1, 0), (0, 1))]
    assert pull == pytest.approx([(up - down) / (2 * d) for up, down in energy], rel=1e-6)


def test_simultaneous_steps_spiral_out_of_the_minimax_dirac_gan() -> None:
    assert np.linalg.norm(play(dirac(minimax), Simultaneous())) > 2.0 > math.sqrt(2)


def test_simultaneous_steps_do_not_converge_in_the_non_saturating_dirac_gan() -> None:
    assert np.linalg.norm(play(dirac(non_saturating), Simultaneous())) > 0.3


@pytest.mark.parametrize("divergence", [minimax, non_saturating], ids=lambda d: d.name)
def test_consensus_converges_in_the_dirac_gan(divergence: Divergence) -> None:
    assert np.linalg.norm(play(dirac(divergence), Consensus(1.0))) < 1e-3


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
        rule.play_round(game, fused, lambda: Batch(torch.zeros(2, 1), torch.zeros(2, 1)))
        reference.grad = (scale.square() * reference.detach()).contiguous()
        plain.step()
    torch.testing.assert_close(player.weight.detach(), reference.detach(), rtol=1e-5, atol=1e-5)


def noisy(a: float, b: float) -> Game:
    """A linear field (b, -a) seen through noise: v = (b, -a) + mean of the latents, of variance 1 each."""
    one, other = Coordinate(a), Coordinate(b)
    return Game(
        players={"a": one, "b": other},
        objective={
            "a": lambda batch: {"loss": one.at * (other.at + batch.latent[:, 0].mean())},
            "b": lambda batch: {"loss": other.at * (batch.latent[:, 1].mean() - one.at)},
        },
        turns=("a", "b"),
    )


def squares_of_field(estimator: str, n: int, draws: int) -> tuple[float, float]:
    """Mean and standard error of the estimate of ||E v||^2 over many batches of n."""
    game, rule = noisy(0.6, -0.4), Consensus(0.0, estimator)
    still, generator = descent(game, h=0.0), torch.Generator().manual_seed(5)

    def draw() -> Batch:
        latent = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return Batch(latent, latent)

    values = np.array([rule.play_round(game, still, draw)["consensus/squared_field"].item() for _ in range(draws)])
    return values.mean(), values.std(ddof=1) / draws**0.5


@pytest.mark.parametrize("n", [8, 5])
def test_the_product_of_two_half_batches_is_the_squared_field_without_bias(n: int) -> None:
    mean, error = squares_of_field("unbiased", n, 400)
    assert abs(mean - 0.52) < 3 * error < 0.2


def test_the_square_of_a_minibatchs_field_is_too_large_by_its_variance() -> None:
    mean, error = squares_of_field("biased", 8, 300)
    # tr Cov / N: two coordinates of variance 1, 8 samples.
    assert abs(mean - (0.52 + 2 / 8)) < 3 * error
    assert 6 * error < 2 / 8, "otherwise the bias could not be seen"


def test_half_batches_share_no_sample_and_no_latent_and_lose_none() -> None:
    seen: list[Batch] = []
    game = bilinear()
    product = game.objective["x"]
    spy = {"x": lambda batch: seen.append(batch) or product(batch), "y": game.objective["y"]}
    batch = Batch(torch.arange(5.0).view(5, 1), torch.arange(10.0, 15.0).view(5, 1))
    Consensus().play_round(Game(game.players, spy, game.turns), descent(game), lambda: batch)
    one, other = seen
    assert torch.equal(torch.cat([one.real, other.real]), batch.real)
    assert torch.equal(torch.cat([one.latent, other.latent]), batch.latent)


def test_a_batch_of_one_cannot_be_halved() -> None:
    game, single = bilinear(), Batch(torch.zeros(1, 1), torch.zeros(1, 1))
    with pytest.raises(ValueError, match="needs at least 2 samples, got 1"):
        Consensus().play_round(game, descent(game), lambda: single)


def test_consensus_without_weight_is_simultaneous() -> None:
    assert play(dirac(minimax), Consensus(0.0), 50) == pytest.approx(
        play(dirac(minimax), Simultaneous(), 50), rel=1e-12
    )


def test_alternating_draws_a_batch_a_turn_and_the_others_one_a_round() -> None:
    for rule, expected in ((Alternating(), 4), (Simultaneous(), 1), (Consensus(), 1)):
        drawn: list[Batch] = []
        game = two_player(Coordinate(), Slope(), minimax, n_critic=3)
        rule.play_round(game, descent(game), lambda drawn=drawn: drawn.append(NOTHING) or NOTHING)
        assert len(drawn) == expected


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_projection_follows_each_move_of_its_player(rule: UpdateRule) -> None:
    calls: list[float] = []
    critic = Slope()
    game = two_player(
        Coordinate(), critic, minimax, n_critic=3, project=lambda: calls.append(critic.at.detach().item())
    )
    rule.play_round(game, descent(game), lambda: NOTHING)
    assert len(calls) == (3 if isinstance(rule, Alternating) else 1)
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


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_a_pull_that_is_not_finite_shows_in_the_terms_before_it_is_saved(estimator: str) -> None:
    # |x|^1.5 at 0: the slope is 0, its own slope without bound.
    x, y = Coordinate(0.0), Coordinate(1.0)
    game = Game(
        players={"x": x, "y": y},
        objective={"x": lambda _: {"bend": x.at.abs() ** 1.5}, "y": lambda _: {"line": y.at.square()}},
        turns=("x", "y"),
    )
    means = Means()
    means.add(Consensus(1.0, estimator).play_round(game, descent(game), lambda: NOTHING))
    assert not x.at.isfinite()
    with pytest.raises(NonFiniteError, match="the term consensus/step_norm became nan"):
        means.take()


def test_only_the_alternating_rule_follows_the_turns() -> None:
    assert [rule.follows_turns for rule in (Alternating(), Simultaneous(), Consensus())] == [True, False, False]


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
    game = make_game(Roles("text", (5, 6), config.model), config)
    optimizers = {name: Adam(game.parameters(name), lr=1e-3, fused=True) for name in game.players}
    before = {name: [p.detach().clone() for p in game.parameters(name)] for name in game.players}

    def draw() -> Batch:
        return Batch(nn.functional.one_hot(torch.randint(6, (4, 5)), 6).float(), torch.randn(4, 3))

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
