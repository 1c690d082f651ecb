"""Checkpoints: the newest readable one counts, two are kept, and nothing in them is executed."""

from __future__ import annotations

import errno
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.errors import RunError
from training import checkpoint
from training.checkpoint import load_checkpoint, save_checkpoint
from training.runs import sweep

CPU = torch.device("cpu")


def state_of(number: int) -> dict[str, Any]:
    """A state as training has it: numbers, tensors and nested dictionaries."""
    torch.manual_seed(number)
    player = {"weight": torch.randn(20, 30), "count": torch.tensor(number)}
    group = {"lr": 1e-3, "betas": (0.5, 0.9), "params": [0, 1], "amsgrad": False, "maximize": None}
    moments = {0: {"step": torch.tensor(float(number)), "exp_avg": torch.randn(4)}}
    return {
        "round": number,
        "seconds": 1.5 * number,
        "players": {"critic": player},
        "optimizers": {"critic": {"state": moments, "param_groups": [group]}},
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def name_of(number: int) -> str:
    return f"round-{number:010d}.pt"


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "checkpoints", state_of(7))
    assert path == tmp_path / "checkpoints" / name_of(7)
    assert same(load_checkpoint(tmp_path / "checkpoints", CPU), state_of(7))


def test_where_there_is_no_checkpoint_there_is_no_state(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "nowhere", CPU) is None
    assert load_checkpoint(tmp_path, CPU) is None


def test_the_newest_two_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    for number in (1, 9, 10, 200, 1_000_000):
        save_checkpoint(tmp_path, state_of(number))
    assert names(tmp_path) == [name_of(200), name_of(1_000_000)]
    assert same(load_checkpoint(tmp_path, CPU), state_of(1_000_000))


def test_the_same_round_again_replaces_its_file(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {**state_of(3), "seconds": 99.0})
    save_checkpoint(tmp_path, state_of(3))
    assert names(tmp_path) == [name_of(3)]
    assert same(load_checkpoint(tmp_path, CPU), state_of(3))


def test_reading_leaves_what_a_process_that_trains_is_writing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state_of(3))
    (tmp_path / "round-0000000004.partial").write_bytes(b"half of it")
    assert same(load_checkpoint(tmp_path, CPU), state_of(3))
    assert names(tmp_path) == [name_of(3), "round-0000000004.partial"]


def test_a_sweep_of_the_run_clears_what_a_kill_left(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoints", state_of(3))
    (tmp_path / "checkpoints" / "round-0000000004.partial").write_bytes(b"half of it")
    sweep(tmp_path)
    assert names(tmp_path / "checkpoints") == [name_of(3)]


def test_checkpoints_that_are_replaced_while_they_are_read_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, state_of(3))
    read = checkpoint._read

    def late(path: Path, device: torch.device) -> dict[str, Any] | None:
        for number in (4, 5):  # the listed ones are gone before they are opened
            if path == tmp_path / name_of(3):
                save_checkpoint(tmp_path, state_of(number))
        return read(path, device)

    monkeypatch.setattr(checkpoint, "_read", late)
    assert same(load_checkpoint(tmp_path, CPU), state_of(5))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "first byte only": lambda data: data[:1],
    "half": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
    "zeros from the middle": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    "text": lambda data: b"no checkpoint\n",
    "a pickle of nothing": lambda data: b"0" + data,
    "another object": lambda data: pickle.dumps([1, 2], protocol=2),
    "a flipped bit in the weights": lambda data: flipped(
        data, data.index(state_of(2)["players"]["critic"]["weight"].numpy().tobytes()) + 5
    ),
    "a flipped bit in a number": lambda data: flipped(data, data.index(struct.pack(">d", 3.0)) + 3),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_where_the_newest_is_damaged_the_previous_one_is_loaded(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path, state_of(1))
    newest = save_checkpoint(tmp_path, state_of(2))
    newest.write_bytes(DAMAGE[damage](newest.read_bytes()))
    assert same(load_checkpoint(tmp_path, CPU), state_of(1))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_no_damage_is_more_than_a_run_error(tmp_path: Path) -> None:
    whole = save_checkpoint(tmp_path, state_of(2)).read_bytes()
    chance, outcomes = random.Random(0), set()
    for _ in range(150):
        data = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        (tmp_path / name_of(2)).write_bytes(bytes(data))
        try:
            outcomes.add(same(load_checkpoint(tmp_path, CPU), state_of(2)))
        except RunError:
            outcomes.add(None)
    # Refused, or whole where only a note about the file was hit; never another state.
    assert outcomes == {None, True}


def test_where_none_can_be_read_it_says_so_and_what_to_do(tmp_path: Path) -> None:
    for number in (1, 2):
        save_checkpoint(tmp_path, state_of(number)).write_bytes(b"gone")
    with pytest.raises(RunError, match=r"none of the 2 checkpoints in .* can be read: start again in another folder"):
        load_checkpoint(tmp_path, CPU)
    assert names(tmp_path) == [name_of(1), name_of(2)]


def test_a_run_that_fell_back_goes_on_saving_readable_checkpoints(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state_of(10))
    save_checkpoint(tmp_path, state_of(20)).write_bytes(b"gone")
    for number in (15, 25, 30):
        save_checkpoint(tmp_path, state_of(number))
        assert same(load_checkpoint(tmp_path, CPU), state_of(number))


def test_a_full_disk_leaves_the_earlier_checkpoints_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        save_checkpoint(tmp_path, state_of(number))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_durably", full)
    with pytest.raises(RunError) as caught:
        save_checkpoint(tmp_path, state_of(3))
    message = str(caught.value)
    assert message.startswith(f"cannot write the checkpoint {tmp_path / name_of(3)}: No space left on device; ")
    assert message.endswith("earlier checkpoints are intact: make room and continue with --resume")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert same(load_checkpoint(tmp_path, CPU), state_of(2))


def test_a_full_disk_at_the_first_checkpoint_does_not_claim_that_there_is_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_durably", full)
    with pytest.raises(RunError, match="No space left on device; there is no earlier one: make room and continue"):
        save_checkpoint(tmp_path / "checkpoints", state_of(3))


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write the checkpoint .*: (File exists|Not a directory)"):
        save_checkpoint(tmp_path / "file", state_of(1))


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.mkdir, (self.victim,)


@pytest.mark.parametrize("container", ["pickle", "torch"])
def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, container: str) -> None:
    folder, victim = tmp_path / "checkpoints", tmp_path / "executed"
    save_checkpoint(folder, state_of(1))
    payload = {"round": 2, "players": Malicious(victim)}
    if container == "pickle":
        (folder / name_of(2)).write_bytes(pickle.dumps(payload, protocol=2))
    else:
        torch.save(payload, folder / name_of(2))
    assert same(load_checkpoint(folder, CPU), state_of(1))
    assert not victim.exists()
    (folder / name_of(1)).unlink()
    with pytest.raises(RunError, match="none of the 1 checkpoints"):
        load_checkpoint(folder, CPU)
    assert not victim.exists()
    # The payload is live: whoever unpickles it runs it.
    pickle.loads(pickle.dumps(payload, protocol=2))
    assert victim.is_dir()
