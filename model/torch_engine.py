"""Strings from a model by torch, for a GPU: bf16 in the residual blocks, and CUDA graphs of a few fixed sizes.

N batch, T length, V alphabet, Z latent, K labels.

bf16 carries 8 significant bits, so that some strings of a seed (about 1 in 100 of a trained model) are not those of
ONNX Runtime.  The first layer, the last and the sum that runs through the blocks are fp32, without which it would be
three times as many.  String i of a seed is the same in any batch of this engine on one kind of GPU.  A generator with
branches or virtual batch norm is fp32 throughout.

Kernels are chosen by the size of a batch and may add in another order for another size.  So runs have one of a few
sizes, filled up with whatever is left from earlier ones, and a size whose logits are not those of the largest, bit for
bit, is not used.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.alphabet import UNKNOWN, Ids
from model.artifact import Artifact
from model.decoding import decode
from model.errors import ArtifactError
from model.sampler import SLICE, Part, Sampler, Scorer
from model.text import Generator, critic_of, labelled
from model.threads import Workers

logger = logging.getLogger("charwgan.model")

SIZES = (1, 8, 64, 256)  # strings in one run on a GPU, smallest first

# A capture must not meet other work on the GPU, such as requests that are answered while a model is loaded.
_gpu = threading.Lock()

Symbols = tuple[Tensor, Tensor]  # the likeliest symbol at every position, (N, T), and the logits, (N, T, V)
Network = TypeVar("Network", bound=nn.Module)


class Step(Protocol):
    """One way of running the generator.  size: rows in a run, at most."""

    size: int

    def run(self, rows: NDArray[np.float32]) -> Symbols:
        """Symbols and logits of latents (N, Z + K), N <= size; they are good until the next run."""


class TorchSampler(Sampler):
    """The generator of an artifact, as ``Sampler``: on the CUDA device if there is one, else on the CPU in fp32.

    threads: CPU threads of one run where there is no GPU; it holds for all of torch in this process.
    device: "cuda" or "cpu"; None: as above.
    Raises ArtifactError if the weights are not those of the networks that config.json describes.
    """

    network = "generator.safetensors"

    def __init__(self, artifact: Artifact, threads: int | None = None, device: str | None = None) -> None:
        self.artifact, self.workers = artifact, Workers(1)  # torch has threads of its own
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._generator = _load(
            artifact, self.network, Generator, self.device, latent=artifact.latent, **_form(artifact)
        )
        self._generator.settle()
        self._barred = torch.zeros(artifact.alphabet.size, device=self.device)
        self._barred[UNKNOWN] = -torch.inf
        if self.device.type == "cuda":
            if not self._generator.form:
                # So that autocast casts what enters a block's convolutions and not their weights, again in every run.
                self._generator.blocks.to(torch.bfloat16)
            torch.backends.cudnn.deterministic = True
        else:
            logger.warning("the engine torch runs on the CPU, as there is no CUDA device: the engine onnx is faster")
            if threads is not None:
                torch.set_num_threads(threads)

    @cached_property
    def _scorer(self) -> Scorer:
        return TorchScorer(self.artifact, self.device)

    @cached_property
    def _steps(self) -> Sequence[Step]:
        """The sizes that are used, smallest first."""
        if self.device.type == "cpu":
            return [Plain(self)]
        steps = [Captured(self, size) for size in SIZES]
        return agreeing(steps, self.latents(0, 0, SIZES[-1]))

    def logits(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unnormalised log probabilities, (N, T, V), of latents (N, Z + K)."""
        found = np.empty((len(latents), self.artifact.alphabet.length, self.artifact.alphabet.size), dtype=np.float32)
        with _gpu:
            for start, stop, (_, logits) in self._runs(latents):
                found[start:stop] = logits.cpu().numpy()
        return found

    def ids(self, latents: NDArray[np.float32], parts: Sequence[Part] = ()) -> Ids:
        """The symbol at every position, (N, T): the likeliest, and as each part says in its rows."""
        ids = np.empty((len(latents), self.artifact.alphabet.length), dtype=self.artifact.alphabet.dtype)
        with _gpu:
            for start, stop, (symbols, logits) in self._runs(latents):
                ids[start:stop] = symbols.cpu().numpy()
                # Logits are many times the size of symbols, and stay on the GPU where no part asks for them.
                within = list(_within(parts, start, stop))
                held = logits.cpu().numpy() if within else np.empty(0, dtype=np.float32)
                for part in within:
                    rows = slice(part.start - start, part.stop - start)
                    ids[part.start : part.stop] = decode(held[rows], part.decoding, part.seed, part.first)
        return cast(Ids, ids)

    def forward(self, latents: Tensor) -> Symbols:
        """Symbols and logits of latents (N, Z + K) on the device."""
        generator = self._generator
        if generator.form:
            logits = generator.logits(latents)
            return (logits + self._barred).argmax(dim=2), logits
        hidden = generator.expand(latents).view(-1, generator.width, generator.length)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            hidden = generator.blocks(hidden)
        # The convolution of width 1 as a product of matrices, which is fp32 where cuDNN would take TF32.
        last = cast(nn.Conv1d, generator.output)
        logits = nn.functional.linear(hidden.transpose(1, 2), last.weight[:, :, 0], last.bias)
        return (logits + self._barred).argmax(dim=2), logits

    def _runs(self, latents: NDArray[np.float32]) -> Iterator[tuple[int, int, Symbols]]:
        """Start and stop of the rows of each run, and what it gave."""
        largest = self._steps[-1].size
        for start in range(0, len(latents), largest):
            rows = latents[start : start + largest]
            step = next(step for step in self._steps if step.size >= len(rows))
            yield start, start + len(rows), step.run(rows)


class Plain:
    """The generator as it is, on the CPU, for any number of rows up to size."""

    size = SLICE

    def __init__(self, sampler: TorchSampler) -> None:
        self._sampler = sampler

    def run(self, rows: NDArray[np.float32]) -> Symbols:
        """As ``Step.run``."""
        return self._sampler.forward(torch.from_numpy(rows.copy()))


class Captured:
    """The generator as one CUDA graph of exactly size rows; those that a run does not need keep earlier latents."""

    def __init__(self, sampler: TorchSampler, size: int) -> None:
        self.size = size
        width = sampler.artifact.latent + len(sampler.artifact.labels)
        host = torch.zeros(size, width, pin_memory=True)
        self._host, self._rows = host, host.numpy()
        self._latents = torch.zeros(host.shape, device=sampler.device)
        # Before the capture, and on a stream of its own as it is, the libraries choose kernels and take their memory.
        stream, current = torch.cuda.Stream(sampler.device), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(3):
                sampler.forward(self._latents)
        current.wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            self._symbols, self._logits = sampler.forward(self._latents)

    def run(self, rows: NDArray[np.float32]) -> Symbols:
        """As ``Step.run``."""
        n = len(rows)
        self._rows[:n] = rows
        self._latents.copy_(self._host)  # waits, so that the next run finds the rows on the host free
        self._graph.replay()
        return self._symbols[:n], self._logits[:n]


def agreeing(steps: Sequence[Step], rows: NDArray[np.float32]) -> Sequence[Step]:
    """Those of some steps, smallest first, that give a row of latents the same logits in whatever run it is.

    rows: as many as the largest step takes.  A step that adds in another order than the largest differs from it
    somewhere in so many sums.  If the largest itself gives a row other logits at another place, only the smallest is
    left, in which every row is at the same place if its size is 1.
    """
    *smaller, largest = steps
    expected = largest.run(rows)[1].clone()
    if not torch.equal(largest.run(rows[::-1].copy())[1].flip(0), expected):
        logger.warning("on this GPU a string depends on its place in the batch: each is made alone, which is slow")
        return steps[:1]
    used = [step for step in smaller if _agrees(step, rows, expected)]
    logger.info("strings in one run on the GPU: %s", ", ".join(str(step.size) for step in (*used, largest)))
    return [*used, largest]


def _agrees(step: Step, rows: NDArray[np.float32], expected: Tensor) -> bool:
    starts = range(0, len(rows), step.size)
    return all(
        torch.equal(step.run(rows[start : start + step.size])[1], expected[start : start + step.size])
        for start in starts
    )


def _within(parts: Sequence[Part], start: int, stop: int) -> Iterator[Part]:
    """The parts as far as they lie in rows start .. stop - 1."""
    for part in parts:
        low, high = max(part.start, start), min(part.stop, stop)
        if low < high:
            yield Part(low, high, part.seed, part.first + low - part.start, part.decoding)


class TorchScorer(Scorer):
    """The critic of an artifact, as ``Scorer``; on a GPU its convolutions are TF32, which has 11 significant bits."""

    network = "critic.safetensors"

    def __init__(self, artifact: Artifact, device: torch.device) -> None:
        artifact.require_critic()
        self.artifact, self.device, self.workers = artifact, device, Workers(1)
        form = artifact.config.get("critic", {})
        anchored = form.get("anchored", False)
        make = partial(critic_of, form.get("norm", "none"), outputs=form.get("outputs", 0), anchored=anchored)
        self._critic = _load(artifact, self.network, make, device)

    def score(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """As ``Scorer.score``."""
        alphabet, labels = self.artifact.alphabet, self.artifact.labels
        # One size on a GPU, so that a score does not depend on what else is scored with it.
        filled = torch.zeros(SLICE if self.device.type == "cuda" else len(rows), rows.shape[1], dtype=torch.long)
        filled[: len(rows)] = torch.from_numpy(rows)
        with _gpu:
            filled = filled.to(self.device)
            text = nn.functional.one_hot(filled[:, : alphabet.length], alphabet.size).float()
            if labels.channels:
                text = labelled(text, nn.functional.one_hot(filled[:, alphabet.length], len(labels)).float())
            scores: NDArray[np.float32] = self._critic.scores(text)[: len(rows)].cpu().numpy()
        return scores


def _form(artifact: Artifact) -> dict[str, int]:
    """What makes a generator another than a plain one: its branches, and virtual batch norm."""
    names = ("heads", "mixture", "codes", "virtual_batch_norm")
    return {name: artifact.config["model"].get(name, 0) for name in names}


def _load(
    artifact: Artifact, name: str, network: Callable[..., Network], device: torch.device, **further: Any
) -> Network:
    """A network with the weights of a file, never to be trained.  Raises ArtifactError if they do not fit it."""
    sizes, alphabet = artifact.config["model"], artifact.alphabet
    try:
        shape = {key: int(sizes[key]) for key in ("width", "depth", "kernel")}
    except KeyError as error:
        raise ArtifactError(
            f"{artifact.path / 'config.json'} does not say model.{error.args[0]}: export the run again"
        ) from error
    shape |= {"length": alphabet.length, "size": alphabet.size, "labels": artifact.labels.channels}
    module = network(**shape, **further)
    try:
        module.load_state_dict(safetensors.torch.load(artifact.read(name)))
    except RuntimeError as error:
        raise ArtifactError(
            f"{artifact.path / name} does not fit the networks that config.json describes: {error}"
        ) from error
    return module.to(device).eval().requires_grad_(False)
