"""Several processes that train one model: who they are, the mean of their gradients, and how they act as one.

torchrun, or who else sets its variables, starts K processes, the ranks.  Each draws its part of every batch, and after
each move there is one all-reduce of the gradients in one piece.  What is said or written is said and written by rank 0.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from model.errors import CharwganError, ConfigurationError, RunError

DIGEST_BYTES = 6  # fits a float64 exactly, in which ranks tell each other numbers


class RankLostError(RunError):
    """Another rank, or the connection to it, is gone."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a job, seen from one of them; without arguments a job of one, where all of this costs nothing.

    All methods but ``part`` must be called by every rank, in the same order; they raise RankLostError if one is gone.
    control: the group for messages, which lie in the memory of the CPU; a weak reference, so that who leaves the job
    ends the group's threads.  One of them that still laid down a tensor while the interpreter ends would abort it.
    """

    rank: int = 0
    count: int = 1
    control: Callable[[], dist.ProcessGroup | None] = lambda: None

    @property
    def first(self) -> bool:
        """Whether this is the rank that looks, writes and speaks."""
        return self.rank == 0

    def part(self, batch_size: int) -> int:
        """How many samples of a batch are this rank's.  Raises ConfigurationError if there are no equal parts."""
        size, rest = divmod(batch_size, self.count)
        if rest or size < 2:
            near = [n * self.count for n in (size, size + 1) if n > 1] or [2 * self.count]
            raise ConfigurationError(
                f"batch_size counts the samples of all ranks, and must be a multiple of their number, {self.count}, "
                f"with at least 2 for each, got {batch_size}: ask for {' or '.join(map(str, near))}"
            )
        return size

    def average(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """The mean over the ranks of each of some tensors without a graph, by one all-reduce of all of them."""
        if self.count == 1:
            return tensors
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._reaching():
            dist.all_reduce(flat)
        flat /= self.count
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def gather(self, *values: float) -> list[tuple[float, ...]]:
        """Every rank's numbers, by rank; no rank has them before all have given theirs."""
        if self.count == 1:
            return [values]
        table = torch.zeros(self.count, len(values), dtype=torch.float64)
        with self._reaching():
            mine = torch.tensor(values, dtype=torch.float64)
            dist.all_gather(list(table.unbind()), mine, group=self.control())
        return [tuple(row) for row in table.tolist()]

    def share(self, data: bytes, *, source: int = 0) -> bytes:
        """What one rank has; the others' data is passed over."""
        if self.count == 1:
            return data
        (size,) = self.gather(len(data))[source]
        buffer = torch.zeros(int(size), dtype=torch.uint8)
        if self.rank == source:
            buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        with self._reaching():
            dist.broadcast(buffer, source, group=self.control())
        return buffer.numpy().tobytes()

    @contextmanager
    def together(self) -> Iterator[None]:
        """End the block together, or fail together with one message, which is rank 0's to tell.

        The ranks must not talk to each other in the block.  If it raises a CharwganError on some of them, rank 0 raises
        its own or else that of the lowest of them, and the others leave in silence, by SystemExit.
        """
        failed: CharwganError | None = None
        try:
            yield
        except CharwganError as error:
            if self.count == 1:
                raise
            failed = error
        codes = [int(code) for (code,) in self.gather(failed.exit_code if failed else 0)]
        if any(codes):
            lowest = next(rank for rank, code in enumerate(codes) if code)
            message = self.share(str(failed).encode(), source=lowest).decode()
            self._leave(failed or RunError(f"rank {lowest}: {message}"), codes[lowest])

    def check_equal(self, what: str, tensors: Iterable[Tensor] = (), text: str = "", advice: str = "") -> None:
        """Raises RunError naming the ranks whose tensors or text differ from rank 0's in any bit.

        advice: what to do, after what is wrong.
        """
        if self.count == 1:
            return
        digest = hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES)
        for tensor in tensors:
            digest.update(tensor.detach().reshape(-1).view(torch.uint8).cpu().numpy().tobytes())
        digests = self.gather(int.from_bytes(digest.digest(), "little"))
        if strangers := [str(rank) for rank, other in enumerate(digests) if other != digests[0]]:
            said = f"rank {', '.join(strangers)} of {self.count} has other {what} than rank 0"
            self._leave(RunError(f"{said}: {advice}" if advice else said), RunError.exit_code)

    def _leave(self, error: CharwganError, code: int) -> NoReturn:
        if self.first:
            error.exit_code = code
            raise error
        raise SystemExit(code)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # what torch raises of a connection that is gone has no narrower name
            reason = str(error).partition("\n")[0]
            raise RankLostError(
                f"rank {self.rank} of {self.count} lost another one or the way to it: {reason}"
            ) from error


def launched() -> bool:
    """Whether this process is one of several, by the variables that torchrun sets."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def restarts() -> int:
    """How often torchrun has started the processes of this machine again, because it lost one of them."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def own_device(device: torch.device) -> torch.device:
    """The GPU of this rank among those of its machine, or the device itself.

    Raises ConfigurationError if there are fewer GPUs than ranks on the machine.
    """
    if device.type != "cuda" or not launched():
        return device
    index, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= there:
        raise ConfigurationError(
            f"each rank needs a GPU of its own, and this machine has {there}: start {there} ranks on it"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The ranks of the job that this process is one of, for as long as the block lasts.

    A group that is there already, as Ray makes one, is used and left as it is.
    """
    if not launched() and not dist.is_initialized():
        yield Ranks()
        return
    mine = not dist.is_initialized()
    if mine:
        _join("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), weakref.ref(dist.new_group(backend="gloo")))
    finally:
        if mine:
            dist.destroy_process_group()


def _join(backend: str) -> None:
    try:
        store, rank, count = next(rendezvous("env://"))
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            # torchrun's own store outlives its workers, and still has the addresses of those that are dead.
            store = PrefixStore(f"attempt {restarts()}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise RankLostError(f"cannot join the other ranks: {reason}") from error
