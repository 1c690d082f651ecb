"""The models folder: which models are in it, by which names, and whether one has changed.

Whatever stands in it is looked at with suspicion: a model must lie in it with all its files.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import replace
from pathlib import Path

from model.artifact import MANIFEST, Artifact
from model.errors import ArtifactError
from service.settings import Settings

logger = logging.getLogger("charwgan.service")

NAME = re.compile(r"\w[\w.-]{0,254}", re.ASCII)

# Of a folder: its model's digest, and name, size and time of each file, which tell a copy that is not yet whole.  The
# time is of the last change of any kind: a file that could not be read and now can is another one.
State = tuple[str, tuple[tuple[str, int, int], ...]]


def model_folders(models: Path) -> list[Path]:
    """The folders in a folder that look like models, by name."""
    try:
        folders = models.resolve().iterdir()
        return sorted(path for path in folders if NAME.fullmatch(path.name) and os.path.isfile(path / MANIFEST))
    except OSError as error:
        raise ArtifactError(f"cannot read the models folder {models}: {error.strerror}") from error


def read_model(path: Path, models: Path | None) -> Artifact:
    """The model in a folder.

    Of one in the models folder nothing may lie elsewhere, and its name is the one that it has there, a link's too.
    Raises ArtifactError.
    """
    if models is not None and path.parent == models.resolve():
        _check_inside(path)
        artifact = replace(Artifact.load(path), path=path)
    else:
        artifact = Artifact.load(path)
    _ = artifact.card  # now: when a request asks for it the folder may hold another version
    return artifact


def _check_inside(path: Path) -> None:
    """Raises ArtifactError if a model's folder, or a file in it, leads out of the folder around it, or nowhere."""
    try:
        for file in (path, *path.iterdir()):
            if not Path(os.path.realpath(file)).is_relative_to(path.parent):
                raise ArtifactError(f"{file} is a link that leaves the models folder: put a copy in its place")
            if not (file.is_file() or file.is_dir()):  # a pipe, from which nothing may ever come
                raise ArtifactError(f"{file} is neither a file nor a folder: take it away")
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error


def first_models(settings: Settings) -> tuple[list[Artifact], str | None]:
    """The models that a service begins with, and the name of the default one: model itself, or the only one.

    One of several that cannot be used is logged and left out.  Raises ArtifactError if none can.
    """
    if settings.models is None:
        assert settings.model is not None
        artifact = read_model(settings.model, None)
        return [artifact], artifact.name
    folders, default = model_folders(settings.models), None
    if settings.model is not None:
        by_name = settings.models.resolve() / settings.model
        chosen = by_name if by_name in folders else (by_name if by_name.is_dir() else settings.model).resolve()
        default = chosen.name
        folders = [chosen, *(path for path in folders if path.name != default)]
    artifacts = []
    for path in folders:
        try:
            artifacts.append(read_model(path, settings.models))
        except ArtifactError as error:
            if path.name == default:
                raise
            logger.warning("left out: %s", error)
    if not artifacts:
        raise ArtifactError(f"no model in {settings.models} can be used; `charwgan export` makes one from a run")
    return artifacts, default or (artifacts[0].name if len(artifacts) == 1 else None)


def state_of(path: Path) -> State | None:
    """What a folder holds; None if it cannot be read, being replaced."""
    try:
        digest = hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
        files = [(file.name, file.stat()) for file in sorted(path.iterdir())]
    except OSError:
        return None
    return digest, tuple((name, facts.st_size, facts.st_ctime_ns) for name, facts in files)
