"""Captured rounds: those of any other path, bit for bit where a plain call stands for the capture."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from captured_rounds import Rounds, both, draws_of, move_of, plain, play_eagerly
from small_runs import CPU, Memory, assert_same, begin, configured, data_of, lasting
from small_runs import rounds as play_by_the_loop
from torch import nn

from model.labels import Labels
from training.captured import Captured, _capturable, cuda_graph, way_of_playing
from training.catalogue import CATALOGUE
from training.checkpoint import load_checkpoint, save_checkpoint
from training.configuration import Config, DataConfig
from training.data import open_dataset, resident
from training.data.dataset import Dataset, Kind
from training.loop import Training

# The turns of wgan change from round to round, which no graph can hold.
PAIRS = [(name, kind) for name, entry in CATALOGUE.items() for kind in entry.kinds if name != "wgan"]
CUDA = torch.device("cuda")
WIDER = {"model.width": 32, "batch_size": 16}  # where a sum in another order shows less
on_a_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def labelled_text() -> Dataset:
    ids, labels = torch.arange(200).view(40, 5) % 6, torch.arange(40) % 2
    text, marks = nn.functional.one_hot(ids, 6), nn.functional.one_hot(labels, 2).unsqueeze(1).expand(-1, 5, -1)
    return Memory("text", torch.cat([text, marks], dim=2).float(), Labels(("a", "b"), (0.5, 0.5)))


@pytest.mark.parametrize(("variant", "kind"), PAIRS)
def test_captured_rounds_of_every_variant_are_those_of_the_loop(variant: str, kind: Kind) -> None:
    captured, loops = both(configured(variant), data_of(kind, variant))
    assert_same(captured, loops)


def test_they_are_on_text_with_labels() -> None:
    captured, loops = both(configured(), labelled_text())
    assert_same(captured, loops)


def test_a_run_goes_from_one_path_to_the_other_by_its_checkpoint(tmp_path: Path) -> None:
    config, data = configured(), data_of("text")
    first, second, undisturbed = (begin(config, data) for _ in range(3))
    Rounds(first, config, data).play(2)
    save_checkpoint(tmp_path, first.state_dict())
    second.load_state_dict(load_checkpoint(tmp_path, CPU) or {})
    play_by_the_loop(second, config, data, 1)
    Rounds(second, config, data).play(1)
    play_by_the_loop(undisturbed, config, data, 4)
    assert_same(lasting(second), lasting(undisturbed))


def test_nothing_is_changed_by_the_check_but_optimisers_begin_at_zero() -> None:
    config, data = configured("dcgan"), data_of("image")
    training, fresh = begin(config, data), begin(config, data)
    Rounds(training, config, data)
    state, before = lasting(training), lasting(fresh)
    assert_same(state["players"], before["players"])
    assert_same(state["average"], before["average"])
    held = [value for each in training.optimizers.values() for s in each.state.values() for value in s.values()]
    assert held
    assert not any(value.any() for value in held)


def test_a_state_that_is_loaded_meanwhile_is_gone_on_with() -> None:
    config, data = configured(), data_of("points")
    ahead, training, expected = (begin(config, data) for _ in range(3))
    play_by_the_loop(ahead, config, data, 3)
    recorded: list[int] = []

    def record(work: Callable[[], None]) -> Callable[[], None]:
        recorded.append(training.round)
        return plain(work)

    rounds = Rounds(training, config, data, record)
    rounds.play(1)
    training.load_state_dict(ahead.state_dict())
    rounds.play(2)
    play_by_the_loop(expected, config, data, 5)
    assert_same(lasting(training), lasting(expected))
    assert recorded == [0, 3]


def test_the_terms_of_a_round_stay_what_they_were() -> None:
    config, data = configured(), data_of("points")
    rounds = Rounds(begin(config, data), config, data)
    (first,) = rounds.play(1)
    before = {name: value.item() for name, value in first.items()}
    rounds.play(2)
    assert {name: value.item() for name, value in first.items()} == before


def stuck(work: Callable[[], None]) -> Callable[[], None]:
    """A capture that took over the batch, so that every replay is of the round that it was captured in."""
    work()
    return lambda: None


def failing(work: Callable[[], None]) -> Callable[[], None]:
    work()
    raise RuntimeError("operation not permitted when stream is capturing\nand more of it")


def of_one_batch(work: Any) -> Callable[[], None]:
    """A capture that does not read its inputs again."""
    inputs = work.__self__._inputs
    batches = {turn: copy.deepcopy(inputs.batch(turn)) for turn in range(3)}

    def replay() -> None:
        inputs.batch = batches.__getitem__
        work()

    return replay


def asserting(work: Callable[[], None]) -> Callable[[], None]:
    """As torch's optimisers refuse."""
    work()
    raise AssertionError("If capturable=True, params and state_steps must be on supported devices")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (stuck, r"a captured round changes .* otherwise, by 1"),
        (of_one_batch, r"a captured round changes .* otherwise, by [\d.]+"),
        (failing, r"a round cannot be captured: operation not permitted when stream is capturing"),
        (asserting, r"a round cannot be captured: If capturable=True, params and state_steps must be on .* devices"),
    ],
)
def test_where_a_capture_is_not_right_rounds_are_eager_and_it_is_said(record: Any, reason: str) -> None:
    config, data = configured(), data_of("text")
    training, expected = begin(config, data), begin(config, data)
    rounds = Rounds(training, config, data, record)
    (sentence,) = rounds.said
    assert not rounds.captured
    assert re.fullmatch(f"warning: each kernel is launched by itself, as {reason}", sentence)
    rounds.play(2)
    play_by_the_loop(expected, config, data, 2)
    assert_same(lasting(training), lasting(expected))


def test_a_network_that_draws_for_itself_is_not_captured() -> None:
    config, data = configured(), data_of("points")

    def dropping() -> Training:
        training = begin(config, data)
        training.game.players["critic"].layers.insert(1, nn.Dropout(0.5))
        return training

    training, expected = dropping(), dropping()
    rounds = Rounds(training, config, data, failing)
    assert rounds.said == ["each kernel is launched by itself: a network of this game draws random numbers of its own"]
    rounds.play(2)
    play_by_the_loop(expected, config, data, 2)
    assert_same(lasting(training), lasting(expected))


def test_on_a_cpu_and_with_several_ranks_rounds_are_eager() -> None:
    config, data = configured(), data_of("points")
    training, said = begin(config, data), []
    draws, move = draws_of(training, config, data), move_of(training, config)
    play = way_of_playing(training, draws, move, 3, said.append)
    assert not isinstance(play, Captured)
    assert said == []
    many = type(draws)(data, 6, 3, 0, torch.device("cuda"), 0, 2)
    assert not isinstance(way_of_playing(training, many, move, 3, said.append), Captured)
    assert said == ["each kernel is launched by itself: a CUDA graph would wait for ever for another rank that is gone"]


def test_rows_that_lie_on_the_device_give_the_same_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(f"word{i}" for i in range(50)), encoding="utf-8")
    data = open_dataset(DataConfig(sources=(str(path),)), tmp_path / "cache")
    found = []
    for room in (0, 1 << 20):
        monkeypatch.setattr(resident, "_room", lambda device, room=room: room)
        training = begin(configured(), data)
        rounds = Rounds(training, configured(), data)
        rounds.play(3)
        found.append(lasting(training))
        assert rounds.said == [
            f"each round is one CUDA graph, with the training rows {'on the GPU' if room else 'sent to it'}"
        ]
    expected = begin(configured(), data)
    play_by_the_loop(expected, configured(), data, 3)
    assert_same(found, [lasting(expected)] * 2)


def test_optimisers_are_marked_while_they_are_captured_and_not_after(monkeypatch: pytest.MonkeyPatch) -> None:
    training = begin(configured(), data_of("points"))
    groups = [group for each in training.optimizers.values() for group in each.param_groups]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capturing in (False, True):
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda capturing=capturing: capturing)
        with _capturable(training.optimizers.values()):
            assert [group["capturable"] for group in groups] == [capturing] * 2
        assert [group["capturable"] for group in groups] == [False] * 2


class TestOnAGpu:
    """What only a CUDA device can show."""

    pytestmark = on_a_gpu

    def begun(self, config: Config, data: Dataset) -> Training:
        return Training.start(begin(config, data).game, config, CUDA)

    @pytest.mark.parametrize(("variant", "kind"), PAIRS)
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_every_variant_is_captured_and_near_eager_rounds(self, variant: str, kind: Kind, precision: str) -> None:
        config, data = configured(variant, precision=precision, **WIDER), data_of(kind, variant)
        one, other = self.begun(config, data), self.begun(config, data)
        rounds = Rounds(one, config, data, cuda_graph, CUDA)
        assert rounds.captured, rounds.said
        terms = rounds.play(3)[-1]
        for name, value in play_eagerly(other, config, data, 3, CUDA)[-1].items():
            assert terms[name].item() == pytest.approx(value.item(), rel=0.05, abs=0.01)

    @pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
    @pytest.mark.parametrize("update", ["simultaneous", "consensus", "extragradient", "optimistic"])
    def test_every_rule_is_captured(self, update: str, optimizer: str) -> None:
        config, data = configured(update=update, optimizer=optimizer, **WIDER), data_of("text")
        rounds = Rounds(self.begun(config, data), config, data, cuda_graph, CUDA)
        assert rounds.captured, rounds.said

    def test_a_checkpoint_of_captured_rounds_is_gone_on_with_on_the_cpu(self, tmp_path: Path) -> None:
        config, data = configured(**WIDER), data_of("text")
        training, after = self.begun(config, data), begin(config, data)
        Rounds(training, config, data, cuda_graph, CUDA).play(2)
        save_checkpoint(tmp_path, training.state_dict())
        after.load_state_dict(load_checkpoint(tmp_path, CPU) or {})
        assert all(torch.isfinite(value) for value in play_by_the_loop(after, config, data, 1)[0].values())
        assert not any(group["capturable"] for each in training.optimizers.values() for group in each.param_groups)

    def test_a_game_that_asks_the_device_is_played_eagerly(self) -> None:
        config, data = configured(**WIDER), data_of("points")
        training = self.begun(config, data)
        objective = training.game.objective["critic"]

        def asking(batch: Any) -> Any:
            terms = objective(batch)
            return {name: value * (1.0 if value.item() < 1e9 else 0.5) for name, value in terms.items()}

        training.game.objective["critic"] = asking  # type: ignore[index]
        rounds = Rounds(training, config, data, cuda_graph, CUDA)
        assert not rounds.captured
        assert all(torch.isfinite(value) for value in rounds.play(2)[-1].values())
