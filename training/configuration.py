"""The one configuration of a run: its keys, their bounds and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from model.errors import ConfigurationError


class Frozen(BaseModel):
    """Immutable; unknown keys and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def refuse(asked: Mapping[str, bool], why: str) -> None:
    """Raises ConfigurationError naming the first of what is asked for, by its key, and why it cannot be had."""
    for key, wanted in asked.items():
        if wanted:
            raise ConfigurationError(f"{key} cannot be had with {why}")


class DataConfig(Frozen):
    """Where the strings come from and which of them are learned."""

    sources: tuple[str, ...] = Field((), description="Files, globs, builtin:NAME, hf:NAME or - for standard input.")
    format: Literal["auto", "lines", "csv", "tsv", "jsonl", "parquet", "npz"] = Field(
        "auto", description="How a source is read; auto goes by the file's name, .gz and .zst apart."
    )
    column: str | None = Field(
        None,
        coerce_numbers_to_str=True,
        description="Column (csv, tsv, parquet; by name, or by number from 1) or field (jsonl) that holds the text.",
    )
    label: str | None = Field(
        None,
        coerce_numbers_to_str=True,
        description="Column or field that holds a label, by name or number; text is learned under its labels.",
    )
    max_length: int | None = Field(
        None, ge=1, le=1024, description="Length T in characters; unset: covers 99.5 % of the lines, at most 64."
    )
    on_long: Literal["truncate", "drop", "window"] = Field(
        "truncate", description="A longer line is cut, left out, or cut into windows of T characters."
    )
    bad_utf8: Literal["error", "replace", "skip"] = Field("error", description="What a line that is not UTF-8 does.")
    duplicates: Literal["keep", "drop"] = Field("keep", description="Whether a repeated line is learned again.")
    min_count: int = Field(1, ge=1, description="Characters seen fewer times become the unknown symbol.")
    image_size: Literal[8, 16, 32, 64, 128] | None = Field(
        None,
        description="Side that images are resized to; unset: they are of one size, and padded if it is nearly one.",
    )
    condition: bool = Field(
        False, description="Points and images are learned under their labels, as text is with data.label."
    )
    boxes: bool = Field(False, description="Captions of images come with the box of what they speak of.")
    stack: bool = Field(False, description="Three images of one channel, drawn at random, become the channels of one.")
    pair: Literal["edges", "invert", "rotate", "shrink"] | None = Field(
        None, description="Images stand beside a picture made of them, which a generator is given to make them from."
    )
    unpaired: bool = Field(False, description="That picture is made of another image, so that no two belong together.")
    held_out: float = Field(0.1, gt=0.0, lt=1.0, description="Share of the lines kept for evaluation.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the split, apart from the seed of training.")


class ModelConfig(Frozen):
    """The size of generator and critic."""

    width: int = Field(64, ge=1, le=4096, description="Channels of the hidden layers.")
    depth: int = Field(5, ge=1, le=64, description="Residual blocks (text), hidden layers (points).")
    kernel: int = Field(5, ge=1, le=31, description="Width of the convolutions in characters; odd.")
    latent: int = Field(128, ge=1, le=4096, description="Z, coordinates of the latent vector.")
    architecture: Literal["dcgan", "resnet101", "mlp"] = Field(
        "dcgan", description="Networks of images: convolutions, ResNets of 101 layers, or a fully connected generator."
    )

    @model_validator(mode="after")
    def _odd_kernel(self) -> ModelConfig:
        if self.kernel % 2 == 0:
            raise ValueError(f"model.kernel must be odd so that the length is kept, got {self.kernel}")
        return self


class GeneratorConfig(Frozen):
    """What may be added to the generator."""

    mixture: int = Field(
        1, ge=1, le=1000, description="Gaussians that the latent is a mixture of, learned; 1: the plain latent."
    )
    virtual_batch_norm: bool = Field(False, description="Normalise by a fixed batch instead of the one that is made.")


class CriticConfig(Frozen):
    """What may be added to the critic, or the discriminator."""

    norm: Literal["none", "batch", "layer", "instance", "weight", "spectral"] = Field(
        "none", description="Normalisation of its hidden layers, or of its weights."
    )
    minibatch_discrimination: bool = Field(False, description="Let it see how close the samples of a batch are.")
    pack: int = Field(1, ge=1, le=64, description="Samples that it judges together.")


class CardConfig(Frozen):
    """What the card of the model shall tell besides."""

    licence: str = Field("", max_length=4000, description="What may be done with the data, and so with the model.")
    note: str = Field("", max_length=4000, description="Anything else, such as where and for whom it was trained.")


class Config(Frozen):
    """Everything that decides a run.  Defaults are the paper's, but for the average, where a preset says nothing."""

    variant: str = Field("wgan-gp", description="Which game is played: see `charwgan variants`.")
    update: Literal["alternating", "simultaneous", "consensus", "extragradient", "optimistic"] = Field(
        "alternating", description="Update rule: how the players' gradients become steps."
    )
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    generator: GeneratorConfig = GeneratorConfig()
    critic: CriticConfig = CriticConfig()
    card: CardConfig = CardConfig()
    generators: int = Field(4, ge=2, le=100, description="Generators of mad-gan and mad-gan-sim.")
    similarity: float = Field(
        1.0, ge=0, description="Weight lambda of how alike the generators of mad-gan-sim are to the critic."
    )
    label_weight: float = Field(1.0, ge=0, description="Weight of the cross-entropy of labels in ac-gan.")
    codes: int = Field(10, ge=2, le=1000, description="Codes of infogan, K, each as likely as any other.")
    continuous: int = Field(
        0, ge=0, le=4096, description="Coordinates of infogan's latent that its critic reads off a sample as well."
    )
    information: float = Field(1.0, ge=0, description="Weight lambda of the information that infogan's samples bear.")
    divergence: Literal[
        "kl", "reverse-kl", "pearson", "squared-hellinger", "jensen-shannon", "gan", "total-variation"
    ] = Field("jensen-shannon", description="What f-gan and density-ratio-gan minimise.")
    labelled: int = Field(
        20, ge=1, description="Samples that keep their label in semi-supervised-gan, equally many of each."
    )
    l1: float = Field(100.0, ge=0, description="Weight of the mean absolute difference in pix2pix.")
    cycle: float = Field(10.0, ge=0, description="Weight of the way there and back in cyclegan.")
    identity: float = Field(5.0, ge=0, description="Weight in cyclegan of what changes where nothing should.")
    adversarial: float = Field(1e-3, ge=0, description="Weight of the critic's say in srgan, beside the squared error.")
    content_rounds: int = Field(1000, ge=0, description="Rounds in which srgan learns by the squared error alone.")
    deviation: float = Field(
        0.2, gt=0, description="Standard deviation of points and images about what the decoder of aae or avb makes."
    )
    regularisation: float = Field(
        10.0, ge=0, description="Weight in aae of how well codes pass for latents, beside the reconstruction in nats."
    )
    n_critic: int = Field(
        5,
        ge=1,
        le=1000,
        description="Critic steps in a round, before its one generator step; alternating updates only.",
    )
    batch_size: int = Field(64, ge=2, le=65536, description="N, samples in a batch, of all ranks together.")
    optimizer: Literal["adam", "adamw", "rmsprop", "adagrad", "sgd"] = Field(
        "adam", description="What makes steps of gradients."
    )
    lr_generator: float = Field(1e-4, gt=0, le=1, description="Step size of the generator.")
    lr_critic: float = Field(1e-4, gt=0, le=1, description="Step size of the critic.")
    decay: Literal["none", "linear"] = Field(
        "none", description="Whether step sizes fall down a line, to a hundredth of theirs at the run's end."
    )
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient.")
    beta2: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the squared gradient.")
    penalty: float = Field(10.0, ge=0, description="Weight of the gradient penalty, lambda; 0 but in wgan-gp.")
    penalty_form: Literal["two-sided", "one-sided", "zero-centred", "finite-difference"] = Field(
        "two-sided", description="Which slopes are penalised: all but 1, those above 1, all; or chords instead."
    )
    clip: float = Field(0.01, gt=0, description="Bound on the size of the critic's weights in wgan, c.")
    r1: float = Field(0.0, ge=0, description="Weight gamma of R1, the squared slope at real samples.")
    r2: float = Field(0.0, ge=0, description="Weight gamma of R2, the squared slope at generated samples.")
    label_smoothing: float = Field(1.0, gt=0.5, le=1, description="Target of real samples; below 1: smoothed.")
    feature_matching: bool = Field(False, description="The generator meets the mean features of real samples instead.")
    historical_averaging: float = Field(
        0.0, ge=0, description="Weight of the squared distance of each player's weights from their mean so far."
    )
    augment: tuple[Literal["color", "translation", "cutout"], ...] = Field(
        (), description="What images are distorted by before the critic sees them: color,translation,cutout, or some."
    )
    instance_noise: float = Field(
        0.0, ge=0, description="Standard deviation of noise on all that the critic sees, at the beginning."
    )
    instance_noise_rounds: int = Field(1000, ge=1, description="Rounds in which that noise falls to 0.")
    unrolled: int = Field(0, ge=0, le=100, description="Steps of the critic that the generator looks ahead.")
    unrolled_lr: float = Field(0.01, gt=0, le=100, description="Size of those steps, which are of plain gradient.")
    consensus: float = Field(1.0, ge=0, description="Weight gamma of the consensus rule.")
    consensus_estimator: Literal["unbiased", "biased", "per-sample", "u-statistic"] = Field(
        "unbiased", description="How the consensus rule estimates the squared field from a batch."
    )
    ema: float = Field(0.999, ge=0, lt=1, description="Decay of the generator's moving average; 0 turns it off.")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Arithmetic of the networks (bf16: autocast).")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of weights, latents and batches.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA where there is one.")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads of a rank; unset: torch's own choice.")
    max_seconds: float | None = Field(
        None, gt=0, description="Stop after this much training time, in seconds; none: never."
    )
    max_rounds: int | None = Field(None, ge=1, description="Stop after this many rounds.")
    max_cpu_seconds: float | None = Field(None, gt=0, description="Stop after this much processor time in training.")
    log_seconds: float = Field(2.0, gt=0, description="Seconds between rows of log.jsonl.")
    evaluate_seconds: float = Field(30.0, gt=0, description="Seconds between scores with samples.")
    checkpoint_seconds: float = Field(30.0, gt=0, description="Seconds between checkpoints.")
    pauses: float = Field(
        0.04, gt=0, le=100, description="Share of the time for scores and checkpoints; beyond it they come less often."
    )

    @field_validator("max_seconds", "max_rounds", "max_cpu_seconds", "threads", mode="before")
    @classmethod
    def _unset(cls, value: Any) -> Any:
        """``none`` takes back what a preset or a file has set."""
        return None if value == "none" else value

    @field_validator("augment", mode="before")
    @classmethod
    def _separated(cls, value: Any) -> Any:
        """A list in one text, with commas."""
        return tuple(filter(None, value.replace(" ", "").split(","))) if isinstance(value, str) else value
