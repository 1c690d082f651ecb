"""The one configuration of a run: its keys, their bounds, the presets, and where each value came from.

Flags beat the environment (``CHARWGAN_DATA__MAX_LENGTH``), which beats the file, which beats the preset.
Nothing is read at import; ``resolve`` puts the layers together and says which of them set each key.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.errors import ConfigurationError
from model.threads import check_threads
from training.presets import PRESETS

ENVIRONMENT_PREFIX = "CHARWGAN_"
CONTINUED = "run"  # the origin of what a run began with, perhaps on another machine

# What a literal may be where a key takes texts.
TEXTS: dict[str, type | tuple[type, ...]] = {
    "variant": str,
    "preset": str,
    "data.column": str,
    "data.label": str,
    "data.sources": (str, list),
}


class Frozen(BaseModel):
    """Immutable; unknown keys and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
    held_out: float = Field(0.1, gt=0.0, lt=1.0, description="Share of the lines kept for evaluation.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the split, apart from the seed of training.")


class ModelConfig(Frozen):
    """The size of generator and critic."""

    width: int = Field(64, ge=1, le=4096, description="Channels of the hidden layers.")
    depth: int = Field(5, ge=1, le=64, description="Residual blocks (text), hidden layers (points).")
    kernel: int = Field(5, ge=1, le=31, description="Width of the convolutions in characters; odd.")
    latent: int = Field(128, ge=1, le=4096, description="Z, coordinates of the latent vector.")

    @model_validator(mode="after")
    def _odd_kernel(self) -> ModelConfig:
        if self.kernel % 2 == 0:
            raise ValueError(f"model.kernel must be odd so that the length is kept, got {self.kernel}")
        return self


class Config(Frozen):
    """Everything that decides a run.  Defaults are the paper's, but for the average, where a preset says nothing."""

    variant: str = Field("wgan-gp", description="Which game is played: see `charwgan variants`.")
    update: Literal["alternating", "simultaneous", "consensus"] = Field(
        "alternating", description="Update rule: how the players' gradients become steps."
    )
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    n_critic: int = Field(
        5,
        ge=1,
        le=1000,
        description="Critic steps in a round, before its one generator step; alternating updates only.",
    )
    batch_size: int = Field(64, ge=2, le=65536, description="N, samples in a batch, of all ranks together.")
    lr_generator: float = Field(1e-4, gt=0, le=1, description="Adam's step size for the generator.")
    lr_critic: float = Field(1e-4, gt=0, le=1, description="Adam's step size for the critic.")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient.")
    beta2: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the squared gradient.")
    penalty: float = Field(10.0, ge=0, description="Weight of the gradient penalty, lambda.")
    consensus: float = Field(1.0, ge=0, description="Weight gamma of the consensus rule.")
    ema: float = Field(0.999, ge=0, lt=1, description="Decay of the generator's moving average; 0 turns it off.")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Arithmetic of the networks (bf16: autocast).")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of weights, latents and batches.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes CUDA where there is one.")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads of a rank; unset: torch's own choice.")
    max_seconds: float | None = Field(None, gt=0, description="Stop after this much training time, in seconds.")
    max_rounds: int | None = Field(None, ge=1, description="Stop after this many rounds.")
    max_cpu_seconds: float | None = Field(None, gt=0, description="Stop after this much processor time in training.")
    log_seconds: float = Field(2.0, gt=0, description="Seconds between rows of log.jsonl.")
    evaluate_seconds: float = Field(30.0, gt=0, description="Seconds between scores with samples.")
    checkpoint_seconds: float = Field(30.0, gt=0, description="Seconds between checkpoints.")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values: {"data": {"seed": 1}} gives ("data.seed", 1)."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def keys() -> dict[str, str]:
    """Every dotted key of the configuration with its description."""
    found: dict[str, str] = {}
    for name, field in Config.model_fields.items():
        if isinstance(field.default, Frozen):
            inner = type(field.default).model_fields
            found |= {f"{name}.{key}": value.description or "" for key, value in inner.items()}
        else:
            found[name] = field.description or ""
    return found


def parse_value(text: str, key: str = "") -> Any:
    """The value of ``key=text``: a TOML literal where it is one (3, 1e-3, true, ["a"]), else the text itself.

    Where the key takes a text, a literal that is none, such as a number, is the text as well: ``data.column=2024``.
    """
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, TEXTS.get(key, object)) else text


def parse_assignment(text: str) -> tuple[str, Any]:
    """Key and value of a ``--set key=value``.  Raises ConfigurationError if there is no ``=``."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(f"--set takes key=value, got {text!r}")
    return key.strip(), parse_value(value.strip(), key.strip())


def read_job(path: Path) -> dict[str, Any]:
    """Dotted keys of a TOML job file.  Raises ConfigurationError if it cannot be read as TOML."""
    try:
        return dict(flatten(tomllib.loads(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise ConfigurationError(f"cannot read the job file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error


def environment_names() -> dict[str, str]:
    """The key that each ``CHARWGAN_...`` variable sets; two underscores stand for the dot."""
    return {environment_name(key): key for key in (*keys(), "preset")}


def environment_name(key: str) -> str:
    """The variable that sets a key: data.max_length is CHARWGAN_DATA__MAX_LENGTH."""
    return ENVIRONMENT_PREFIX + key.replace(".", "__").upper()


def read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Keys set by ``CHARWGAN_...`` variables.  The service's own are passed over."""
    names = environment_names()
    return {names[name]: parse_value(value, names[name]) for name, value in environment.items() if name in names}


def resolve(layers: Mapping[str, Mapping[str, Any]], preset: str | None = None) -> tuple[Config, dict[str, str]]:
    """Put layers of dotted keys together, the later over the earlier.

    layers: origin ("file", "environment", "flag") to {dotted key: value}; any of them may set "preset".
    Returns the configuration and the origin of each of its keys.
    Raises ConfigurationError naming the key, the bound and the value.
    """
    for values in layers.values():
        preset = values.get("preset", preset)
    name = preset or "small"
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigurationError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    tree: dict[str, Any] = {}
    origins = dict.fromkeys(keys(), "default")
    for origin, values in {f"preset {name}": PRESETS[name], **layers}.items():
        for key, value in values.items():
            if key == "preset":
                continue
            if key not in origins:
                raise ConfigurationError(_unknown(key, origin))
            section, _, inner = key.rpartition(".")
            (tree.setdefault(section, {}) if section else tree)[inner] = value
            origins[key] = origin
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigurationError(_first_problem(error, origins)) from None
    if origins["threads"] != CONTINUED:
        check_threads(config.threads, f"threads{_whence('threads', origins)}")
    return config, origins


def _unknown(key: str, origin: str) -> str:
    close = difflib.get_close_matches(key, keys(), n=1)
    hint = f": did you mean {close[0]!r}?" if close else ": `charwgan train --dry-run` prints every key"
    return f"unknown configuration key {key!r}{_whence(key, {key: origin})}{hint}"


def _first_problem(error: ValidationError, origins: Mapping[str, str]) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "value_error":
        # The only one, of a whole section: its message names the key.
        message = str(problem["msg"]).removeprefix("Value error, ")
        return message + _whence(next((name for name in origins if message.startswith(name)), key), origins)
    return f"{key}: {problem['msg'].lower()}, got {problem['input']!r}{_whence(key, origins)}"


def _whence(key: str, origins: Mapping[str, str]) -> str:
    """Where a value came from, for a message; nothing where a person did not give it."""
    told = {"flag": "the command line", "environment": environment_name(key), "file": "the job file"}
    origin = origins.get(key, "default")
    return "" if origin == "default" else f" (from {told.get(origin, origin)})"
