"""A model is a folder: weights, graphs, tokenizer, scores and card, each under a digest in ``manifest.json``.

    config.json  tokenizer.json  generator.safetensors  critic.safetensors  generator.onnx  critic.onnx
    metrics.json  README.md  manifest.json
    training-hashes.safetensors  generator.int8.onnx (not in every model)

That is a model of text; one of images or points (``samples.py``) has no tokenizer and no critic, and one of text has no
critic where its config.json says ``"critic": null``: a game whose critic judges latents, or a string beside its latent.
The SHA-256 of the manifest is the model's digest.  Only safetensors, ONNX and JSON are read; nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from model.alphabet import Alphabet
from model.errors import ArtifactError
from model.exchange import NEW, clear_abandoned, put_in_place, workplace
from model.labels import Labels
from model.novelty import HASHES, Novelty

SHIPPED = Path(__file__).parent / "shipped"  # models that come with the package
SHIPPED_MODEL = SHIPPED / "names-tiny"  # where none is named
FORMAT = 1
MANIFEST = "manifest.json"
UNLISTED = "does not list every file of a model: export the run again"
REQUIRED = (
    "config.json",
    "tokenizer.json",
    "generator.safetensors",
    "critic.safetensors",
    "generator.onnx",
    "critic.onnx",
    "metrics.json",
    "README.md",
)
CRITIC = ("critic.safetensors", "critic.onnx")
OF_TEXT = ("tokenizer.json", *CRITIC)  # of those, what other kinds do not need


@dataclass(frozen=True)
class Model:
    """A model of any kind that was read and verified.

    digest: hex SHA-256 of the manifest.  config: what it was trained with.  metrics: its table of scores, or empty.
    digests: hex SHA-256 of each file by name, as the manifest has them.
    """

    path: Path
    digest: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    digests: Mapping[str, str]

    @property
    def kind(self) -> str:
        """What it makes: text, image or points."""
        return kind_in(self.config)

    @property
    def judges(self) -> bool:
        """Whether it has a critic, which can be asked for scores of strings."""
        return set(CRITIC) <= set(required(self.config))

    def require_critic(self) -> None:
        """Raises ArtifactError for a model without a critic."""
        if not self.judges:
            raise ArtifactError(
                f"{self.path} cannot score strings: it has no critic of strings, as that of its variant, "
                f"{self.config.get('variant', 'unknown')}, judges latents; `charwgan variants` lists others"
            )

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def latent(self) -> int:
        """Z, the number of coordinates of a latent vector."""
        return int(self.config["model"]["latent"])

    @cached_property
    def labels(self) -> Labels:
        """What its strings can be asked to be; empty for a model that is not conditional.

        Raises ArtifactError if config.json says what labels cannot be.
        """
        return Labels.from_json(self.config.get("labels"), self.path / "config.json")

    @cached_property
    def card(self) -> str:
        """Its card, Markdown, read when first asked for.  Raises ArtifactError as ``read`` does."""
        return self.read("README.md").decode(errors="replace")

    def facts(self) -> dict[str, Any]:
        """What the model is, as JSON would have it."""
        return {"name": self.name, "digest": self.digest, "config": self.config, "metrics": self.metrics}

    def read(self, name: str) -> bytes:
        """The contents of a file of the model, still those that were verified.

        Raises ArtifactError if the file has changed since, as when the folder was replaced meanwhile.
        """
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise ArtifactError(f"cannot read {self.path / name}: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != self.digests.get(name):
            raise ArtifactError(f"{self.path / name} has changed since it was verified: load the model again")
        return data

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read a model folder of any kind.

        Raises ArtifactError if it is no model, if a file is missing or differs from its digest, if a weight is not
        finite, or if its labels cannot be labels.
        """
        path = path.resolve()
        if not path.is_dir():
            raise ArtifactError(f"no model at {path}: it is not a folder; `charwgan export` makes one from a run")
        digest, digests = _verify(path)
        config = _read_object(path / "config.json") if "config.json" in digests else {}
        if not set(required(config)) <= set(digests):
            raise ArtifactError(f"{path / MANIFEST} {UNLISTED}")
        metrics = _read_object(path / "metrics.json")
        for name in digests:
            if name in ("generator.safetensors", "critic.safetensors"):
                _check_finite(path / name)
        if not isinstance(config.get("model"), dict) or not isinstance(config["model"].get("latent"), int):
            raise ArtifactError(f"{path / 'config.json'} does not say model.latent: export the run again")
        found = Model(path, digest, config, metrics, digests)
        _ = found.labels  # checked now
        return found


@dataclass(frozen=True)
class Artifact(Model):
    """A model of text that was read and verified."""

    alphabet: Alphabet

    @cached_property
    def novelty(self) -> Novelty | None:
        """The hashes of the training strings, read when first asked for; None for a model that has none.

        Raises ArtifactError if the file has changed since it was verified.
        """
        return Novelty.from_bytes(self.read(HASHES), self.path / HASHES) if HASHES in self.digests else None

    def facts(self) -> dict[str, Any]:
        """What the model is, as JSON would have it."""
        return {**super().facts(), "alphabet": self.alphabet.characters}

    @classmethod
    def load(cls, path: Path) -> Artifact:
        """Read a model folder.  Raises ArtifactError as ``Model.load`` does, and if it is of another kind than text."""
        return cls.of(Model.load(path))

    @classmethod
    def of(cls, found: Model) -> Artifact:
        """The same of a folder that was read already."""
        if found.kind != "text":
            raise ArtifactError(
                f"{found.path} is a model of {found.kind}, and only text is served, scored and evaluated: "
                f"`charwgan generate --model {found.path} --out samples.npz` samples it"
            )
        alphabet = Alphabet.load(found.path / "tokenizer.json")
        artifact = cls(**{each.name: getattr(found, each.name) for each in fields(found)}, alphabet=alphabet)
        if HASHES in found.digests:
            Novelty.from_bytes(found.read(HASHES), found.path / HASHES)  # checked now, kept only if it is needed
        return artifact


def kind_in(config: object) -> str:
    """What a model makes, by its configuration: text, image or points."""
    return str(config.get("kind", "text")) if isinstance(config, dict) else "text"


def required(config: object) -> list[str]:
    """The files that a model with this config.json must have."""
    spared: tuple[str, ...] = () if kind_in(config) == "text" else OF_TEXT
    if isinstance(config, dict) and config.get("critic", {}) is None:
        spared += CRITIC
    return [name for name in REQUIRED if name not in spared]


def write_artifact(path: Path, files: Mapping[str, bytes], *, replace: bool = False) -> str:
    """Write a model folder as a whole, or not at all; returns its digest.

    files: contents by name, at least those ``required``.  An existing folder is only replaced when asked, and only if
    it is a model.  Raises ArtifactError if something is in the way or the disk refuses.
    """
    path = path.resolve()
    config = _told(files.get("config.json", b"{}"))
    if missing := [name for name in required(config) if name not in files]:
        raise ValueError(f"a model needs {', '.join(missing)}")
    clear_abandoned(path)
    if path.exists() and not replace:
        raise ArtifactError(f"{path} exists already: choose another folder or say --replace")
    if path.exists() and not _is_model(path) and (not path.is_dir() or any(path.iterdir())):
        raise ArtifactError(f"{path} is not a model and is not replaced: choose another folder")
    contents = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}
    manifest = (json.dumps({"format": FORMAT, "files": contents}, indent=2, sort_keys=True) + "\n").encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace_folder(path, {**files, MANIFEST: manifest})
    except OSError as error:
        raise ArtifactError(f"cannot write the model to {path}: {error.strerror or error}") from error
    return hashlib.sha256(manifest).hexdigest()


def _told(config: bytes) -> object:
    """What shall be a model's config.json; None where that is no JSON."""
    try:
        return json.loads(config)
    except ValueError:
        return None


def _is_model(path: Path) -> bool:
    """Whether a folder is a model, of this version or another, intact or not."""
    try:
        manifest = _read_object(path / MANIFEST)
    except ArtifactError:
        return False
    return "format" in manifest and isinstance(manifest.get("files"), dict) and "generator.onnx" in manifest["files"]


def _replace_folder(path: Path, files: Mapping[str, bytes]) -> None:
    with workplace(path) as folder:
        fresh = folder / NEW
        fresh.mkdir()
        for name, data in files.items():
            write_durably(fresh / name, data)
        sync_folder(fresh)
        put_in_place(fresh, path)
        sync_folder(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _verify(path: Path) -> tuple[str, dict[str, str]]:
    """The model's digest and that of each of its files, all of which were found to be right."""
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise ArtifactError(f"no model at {path}: {MANIFEST} is missing; `charwgan export` makes one from a run")
    manifest = _read_object(manifest_path)
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"{manifest_path}: format {manifest.get('format')!r} is not known, expected {FORMAT}")
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        raise ArtifactError(f"{manifest_path} {UNLISTED}")
    for name, entry in listed.items():
        if Path(name).name != name or "\0" in name:
            raise ArtifactError(f"{manifest_path} names {name!r}, which lies outside the folder")
        expected = entry.get("sha256") if isinstance(entry, dict) else None
        if (found := _file_digest(path / name)) != expected:
            raise ArtifactError(f"{path / name} is damaged: its SHA-256 is {found}, the manifest says {expected}")
    return _file_digest(manifest_path), {name: entry["sha256"] for name, entry in listed.items()}


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} must hold a JSON object")
    return value


def _check_finite(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy") as tensors:  # one tensor in memory at a time
            for name in tensors.keys():  # noqa: SIM118 (it is no mapping)
                if not np.isfinite(tensors.get_tensor(name)).all():
                    raise ArtifactError(f"{path}: the weight {name} has values that are not finite")
    except (OSError, SafetensorError, ValueError) as error:
        raise ArtifactError(f"{path} is not a readable safetensors file: {error}") from error
