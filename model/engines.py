"""What turns latents into strings, by name: ``charwgan serve --engine NAME``.

onnx        ONNX Runtime on a CPU, fp32.
onnx-int8   the same with 8-bit integers in the residual blocks: faster, and some strings of a seed are others.
torch       torch on a GPU, bf16 in the residual blocks: some strings of a seed are others here too.

String i of a seed is the same in any batch of one engine; it is promised across machines, not across engines.
"""

from __future__ import annotations

from collections.abc import Callable

from model.artifact import Artifact
from model.errors import ArtifactError, ConfigurationError, MissingDependencyError, how_to_install
from model.sampler import Sampler

ENGINES = ("onnx", "onnx-int8", "torch")
INT8_GRAPH = "generator.int8.onnx"


class Int8Sampler(Sampler):
    """The generator in 8-bit integers, which a model has where it was exported with --int8; the critic stays fp32.

    Raises ArtifactError if the model has no such graph.
    """

    network = INT8_GRAPH

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        if INT8_GRAPH not in artifact.digests:
            raise ArtifactError(
                f"{artifact.path} has no {INT8_GRAPH}: make one with `charwgan export RUN --out DIR --int8`, "
                "or use the engine onnx"
            )
        super().__init__(artifact, threads)


def open_engine(name: str) -> Callable[[Artifact, int | None], Sampler]:
    """What opens a model with the engine of that name, given CPU threads or None.

    Raises ConfigurationError if there is no such engine, MissingDependencyError if torch is needed and not installed.
    """
    if name == "onnx":
        return Sampler
    if name == "onnx-int8":
        return Int8Sampler
    if name == "torch":
        return _torch_sampler()
    raise ConfigurationError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")


def _torch_sampler() -> Callable[[Artifact, int | None], Sampler]:
    try:
        from model.torch_engine import TorchSampler
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise MissingDependencyError(
            f"the engine torch needs torch, which is not installed: {how_to_install('train')}, or use onnx"
        ) from error
    return TorchSampler
