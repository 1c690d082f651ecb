"""The loop: any variant on any data, a run that was stopped and continued equal to one that was not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD

from model.errors import ConfigurationError
from training.average import Average
from training.catalogue import CATALOGUE, make_game
from training.checkpoint import load_checkpoint, save_checkpoint
from training.configuration import Config, resolve
from training.data.dataset import Dataset, Kind
from training.game import Batch, Game
from training.loop import Draws, Training, choose_device, play, seed_torch, update_rule
from training.networks.roles import Roles
from training.updates import Alternating, Consensus, Simultaneous

CPU = torch.device("cpu")
SIZE = {
    "model.width": 4,
    "model.depth": 1,
    "model.kernel": 3,
    "model.latent": 3,
    "batch_size": 6,
    "n_critic": 2,
    "ema": 0.9,
}
PAIRS = [(name, kind) for name, entry in CATALOGUE.items() for kind in entry.kinds]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads cost more than they give in networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Memory:
    """A Dataset of samples (N, ...) that lie in memory."""

    kind: Kind
    samples: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.samples.shape[1:])

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.samples.numpy().tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.samples)

    def draw(self, rows: NDArray[np.int64], device: torch.device) -> Tensor:
        return self.samples[torch.from_numpy(rows)].to(device)


def data_of(kind: Kind) -> Dataset:
    generator = torch.Generator().manual_seed(1)
    if kind == "text":
        ids = torch.randint(6, (40, 5), generator=generator)
        return Memory(kind, nn.functional.one_hot(ids, 6).float())
    shape = (40, 1, 8, 8) if kind == "image" else (40, 2)
    return Memory(kind, torch.randn(shape, generator=generator).tanh())


def configured(variant: str = "wgan-gp", **changed: Any) -> Config:
    config, _ = resolve({"variant": {**CATALOGUE[variant].defaults, "variant": variant}, "test": {**SIZE, **changed}})
    return config


def begin(config: Config, data: Dataset) -> Training:
    seed_torch(CPU, config.seed)
    return Training.start(make_game(Roles(data.kind, data.shape, config.model), config), config, CPU)


def rounds(training: Training, config: Config, data: Dataset, n: int) -> list[dict[str, Tensor]]:
    draws = Draws(data, config.batch_size, config.model.latent, config.seed, CPU)
    return list(islice(play(training, update_rule(config), draws, precision=config.precision), n))


def assert_same(one: Any, other: Any) -> None:
    """Bit for bit, through nested states."""
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


def lasting(training: Training) -> dict[str, Any]:
    """The state apart from the clocks."""
    return {name: value for name, value in training.state_dict().items() if "seconds" not in name}


def weights(training: Training) -> dict[str, list[Tensor]]:
    return {name: [p.detach().clone() for p in player.parameters()] for name, player in training.game.players.items()}


@pytest.mark.parametrize(("variant", "kind"), PAIRS)
def test_every_variant_moves_every_player_by_finite_terms(variant: str, kind: Kind) -> None:
    config, data = configured(variant), data_of(kind)
    training = begin(config, data)
    before = weights(training)
    for terms in rounds(training, config, data, 2):
        assert all(torch.isfinite(value) for value in terms.values())
        assert {name.partition("/")[0] for name in terms} == {*training.game.players, "gradient_norm"}
    assert training.round == 2
    for name, after in weights(training).items():
        assert any(not torch.equal(a, b) for a, b in zip(before[name], after, strict=True))
        assert all(torch.isfinite(parameter).all() for parameter in after)


def stopped_and_continued(config: Config, data: Dataset, folder: Path) -> Training:
    """Two rounds, a checkpoint, and two rounds more by new objects."""
    first = begin(config, data)
    rounds(first, config, data, 2)
    save_checkpoint(folder, first.state_dict())
    torch.manual_seed(999)  # what another process would find is unknown
    second = begin(config, data)
    state = load_checkpoint(folder, CPU)
    assert state is not None
    second.load_state_dict(state)
    assert (second.round, second.seconds, second.cpu_seconds) == (2, first.seconds, first.cpu_seconds)
    rounds(second, config, data, 2)
    return second


@pytest.mark.parametrize(("variant", "kind"), PAIRS)
def test_a_run_that_was_stopped_and_continued_equals_an_undisturbed_one(
    tmp_path: Path, variant: str, kind: Kind
) -> None:
    config, data = configured(variant), data_of(kind)
    undisturbed = begin(config, data)
    rounds(undisturbed, config, data, 4)
    assert_same(lasting(stopped_and_continued(config, data, tmp_path)), lasting(undisturbed))


@pytest.mark.parametrize(
    "changed", [{"update": "simultaneous"}, {"update": "consensus"}, {"precision": "bf16"}], ids=str
)
def test_it_equals_it_under_every_update_rule_and_in_bf16(tmp_path: Path, changed: dict[str, str]) -> None:
    config, data = configured(**changed), data_of("text")
    undisturbed = begin(config, data)
    rounds(undisturbed, config, data, 4)
    assert_same(lasting(stopped_and_continued(config, data, tmp_path)), lasting(undisturbed))


@pytest.mark.parametrize("number", [0, 3])
def test_a_round_is_a_function_of_its_number_and_not_of_those_before(number: int) -> None:
    config, data = configured(), data_of("text")
    states = []
    for noise in (0, 1):
        training = begin(config, data)
        torch.manual_seed(noise)
        np.random.default_rng(noise)
        training.round = number
        rounds(training, config, data, 1)
        states.append(lasting(training))
    assert_same(*states)


def test_a_run_continued_with_smaller_steps_takes_them(tmp_path: Path) -> None:
    data = data_of("text")
    first = begin(configured(), data)
    rounds(first, configured(), data, 1)
    save_checkpoint(tmp_path, first.state_dict())
    smaller = configured(lr_critic=1e-6, lr_generator=2e-6, beta1=0.25)
    second = begin(smaller, data)
    second.load_state_dict(load_checkpoint(tmp_path, CPU) or {})
    (critic,), (generator,) = (second.optimizers[name].param_groups for name in ("critic", "generator"))
    assert (critic["lr"], generator["lr"]) == (1e-6, 2e-6)
    assert critic["betas"] == (0.25, smaller.beta2)


def test_the_state_of_other_networks_is_refused() -> None:
    data = data_of("text")
    state = begin(configured(), data).state_dict()
    with pytest.raises(RuntimeError, match="size mismatch"):
        begin(configured(**{"model.width": 5}), data).load_state_dict(state)


def test_weights_are_a_function_of_the_seed() -> None:
    data = data_of("text")
    assert_same(weights(begin(configured(seed=4), data)), weights(begin(configured(seed=4), data)))
    one, other = (begin(configured(seed=seed), data).game.players["generator"] for seed in (4, 5))
    assert not torch.equal(one.expand.weight, other.expand.weight)


def test_each_player_has_its_own_step_size() -> None:
    training = begin(configured(lr_generator=0.25, lr_critic=0.125, beta1=0.5, beta2=0.75), data_of("points"))
    for name, lr in (("generator", 0.25), ("critic", 0.125)):
        (group,) = training.optimizers[name].param_groups
        assert (group["lr"], group["betas"], group["fused"]) == (lr, (0.5, 0.75), True)


@pytest.mark.parametrize(("variant", "kind"), [("wgan-gp", "text"), ("wgan-gp", "points"), ("dcgan", "image")])
def test_bf16_runs_and_is_finite_and_keeps_weights_in_fp32(variant: str, kind: Kind) -> None:
    config, data = configured(variant, precision="bf16"), data_of(kind)
    training = begin(config, data)
    before = weights(training)
    for terms in rounds(training, config, data, 2):
        assert all(torch.isfinite(value) and value.dtype == torch.float32 for value in terms.values())
    for name, after in weights(training).items():
        assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in after)
        assert any(not torch.equal(a, b) for a, b in zip(before[name], after, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_turn_of_a_round_sees_the_weights_that_the_last_one_left(precision: str) -> None:
    line = nn.Linear(1, 1, bias=False)
    nn.init.ones_(line.weight)
    game = Game(
        players={"generator": line},
        objective={"generator": lambda batch: {"height": line(torch.ones_like(batch.latent)).mean()}},
        turns=("generator",) * 3,
    )
    training = Training(game, {"generator": SGD(line.parameters(), lr=0.25)}, Average(line, 0.0))
    draws = Draws(data_of("points"), 6, 1, 0, CPU)
    (terms,) = islice(play(training, Alternating(), draws, precision=precision), 1)
    assert line.weight.item() == 0.25
    # The heights of the three turns: 1, 0.75 and 0.5.
    assert terms["generator/height"].item() == 0.75


def test_bf16_is_near_fp32() -> None:
    data, states = data_of("text"), {}
    for precision in ("fp32", "bf16"):
        config = configured(precision=precision)
        training = begin(config, data)
        states[precision] = rounds(training, config, data, 1)[0]
    for name, exact in states["fp32"].items():
        assert states["bf16"][name].item() == pytest.approx(exact.item(), rel=0.1, abs=0.02)


def batches(seed: int = 0, number: int = 0, turns: int = 3) -> list[Batch]:
    draw = Draws(data_of("points"), 6, 4, seed, CPU).of_round(number)
    return [draw() for _ in range(turns)]


def test_batches_are_a_function_of_seed_round_and_turn() -> None:
    once = batches(7, 5)
    torch.manual_seed(123)
    for one, again in zip(once, batches(7, 5), strict=True):
        assert torch.equal(one.real, again.real)
        assert torch.equal(one.latent, again.latent)
    latents = [b.latent for b in (*once, *batches(8, 5), *batches(7, 6), *batches(5, 7))]
    for i, one in enumerate(latents):
        assert not any(torch.equal(one, other) for other in latents[:i])


def test_what_is_random_after_a_batch_repeats_with_it() -> None:
    def follow() -> Tensor:
        batches(7, 5, turns=2)
        return torch.rand(3)

    assert torch.equal(follow(), follow())


def test_a_batch_has_the_shapes_of_the_data_and_the_latent() -> None:
    (batch,) = batches(turns=1)
    assert batch.real.shape == (6, 2)
    assert batch.latent.shape == (6, 4)
    assert batch.latent.dtype == torch.float32


def test_rows_are_uniform_and_latents_normal() -> None:
    data = Memory("points", torch.arange(4.0).view(4, 1))
    draw = Draws(data, 4000, 5, 3, CPU).of_round(0)
    batch = draw()
    counts = torch.bincount(batch.real.flatten().long(), minlength=4)
    # Standard error of a count: sqrt(4000 * 1/4 * 3/4); of a mean of 20000 normals: 1 / sqrt(20000).
    assert (counts - 1000).abs().max() < 4 * 750**0.5
    assert abs(batch.latent.mean().item()) < 4 / 20000**0.5
    assert abs(batch.latent.var().item() - 1) < 4 * (2 / 20000) ** 0.5


def test_torchs_state_is_a_function_of_the_counters_and_their_order() -> None:
    def drawn(*counters: int) -> float:
        seed_torch(CPU, *counters)
        return torch.rand(()).item()

    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    assert (
        len({drawn(*counters) for counters in [(0,), (0, 0), (0, 0, 0), (1, 2, 3), (3, 2, 1), (2**63 - 1, 0, 0)]}) == 6
    )


def test_torchs_cpu_takes_the_low_32_bits_of_a_seed_as_it_is_told_of() -> None:
    def drawn(seed: int) -> Tensor:
        return torch.rand(4, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(drawn(5), drawn(5 + (7 << 32)))
    assert "2^32 streams" in (seed_torch.__doc__ or "")


def test_rounds_and_their_time_are_counted() -> None:
    config, data = configured(), data_of("points")
    training = begin(config, data)
    rounds(training, config, data, 3)
    assert training.round == 3
    assert training.seconds > 0
    assert training.cpu_seconds > 0


def test_the_configured_update_rule_plays() -> None:
    assert update_rule(configured()) == Alternating()
    assert update_rule(configured(update="simultaneous")) == Simultaneous()
    assert update_rule(configured(update="consensus", consensus=2.5)) == Consensus(2.5, "unbiased")


def test_a_variant_refuses_data_that_it_does_not_play() -> None:
    with pytest.raises(ConfigurationError, match="variant dcgan plays image, and this data is text"):
        begin(configured("dcgan"), data_of("text"))
    unknown, _ = resolve({"test": {"variant": "nonesuch"}})
    with pytest.raises(ConfigurationError, match=r"variant must be one of wgan-gp, .*, got 'nonesuch'"):
        begin(unknown, data_of("text"))


def test_cuda_is_refused_where_there_is_none_and_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device: cuda is not available here, use auto or cpu"):
        choose_device("cuda")
    assert choose_device("auto") == choose_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device(name).type for name in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]


def moving() -> nn.BatchNorm1d:
    """Weights, floating buffers and a counter."""
    return nn.BatchNorm1d(2).double()


def fill(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(value)


def test_the_average_follows_its_formula_over_weights_and_buffers() -> None:
    module = moving()
    fill(module, 3.0)
    average, expected = Average(module, 0.3), 3.0
    for number in range(6):
        fill(module, float(number * number))
        average.update(number)
        # The start is forgotten early: decays 0.1, 0.18.., 0.25, then the configured one.
        decay = min(0.3, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * number * number
        floating = [t for t in (*average.module.parameters(), *average.module.buffers()) if t.is_floating_point()]
        assert len(floating) == 4
        for tensor in floating:
            assert tensor.tolist() == pytest.approx([expected] * 2, rel=1e-12)


def test_the_average_copies_counters() -> None:
    module = moving()
    average = Average(module, 0.999)
    module.num_batches_tracked.fill_(41)
    average.update(10**6)
    assert average.module.num_batches_tracked.item() == 41


def test_an_average_without_decay_is_the_module_after_an_update() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average(module, 0.0)
    nn.init.normal_(module[0].weight)
    module(torch.randn(5, 3))
    for number in (0, 1000):
        average.update(number)
        assert_same(average.module.state_dict(), module.state_dict())


def test_the_average_is_apart_from_its_module_and_ready_to_be_evaluated() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout())
    average = Average(module, 0.5)
    assert not average.module.training
    assert not any(p.requires_grad for p in average.module.parameters())
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    before = average.module[0].weight.clone()
    nn.init.zeros_(module[0].weight)
    assert torch.equal(average.module[0].weight, before)


def test_the_average_is_that_of_the_generator() -> None:
    config, data = configured(ema=0.0), data_of("image")
    training = begin(config, data)
    rounds(training, config, data, 2)
    assert_same(training.average.module.state_dict(), training.game.players["generator"].state_dict())
