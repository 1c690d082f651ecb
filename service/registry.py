"""The models that are served: which version of each is active, and how another takes its place.

A model is loaded beside the one that answers, verified and warmed up, and only then swapped in, between two requests.
Names come from requests, paths never: a name is looked up in the models folder and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.artifact import MANIFEST, Artifact
from model.errors import ArtifactError
from service.batching import NotReadyError
from service.jobs import Engine, Version
from service.settings import Settings

logger = logging.getLogger("charwgan.service")

NAME = re.compile(r"\w[\w.-]{0,254}", re.ASCII)

OpenEngine = Callable[[Artifact, int | None], Engine]
# Of a folder: its model's digest, and name, size and time of each file, which tell a copy that is not yet whole.
State = tuple[str, tuple[tuple[str, int, int], ...]]


class UnknownModelError(Exception):
    """No model of that name is served."""


class RefusedError(Exception):
    """A model cannot be loaded, activated or rolled back to."""


@dataclass
class Slot:
    """The versions of one name: the one that answers, the one before it, and one that was loaded to follow."""

    active: Version
    previous: Version | None = None
    staged: Version | None = None

    def roles(self) -> Iterator[tuple[str, Version]]:
        """Role and version of those that there are."""
        for role in ("active", "previous", "staged"):
            if (version := getattr(self, role)) is not None:
                yield role, version


class Registry:
    """The served models by name.  It belongs to the event loop; models are read and opened on other threads."""

    def __init__(self, settings: Settings, open_engine: OpenEngine) -> None:
        self.settings = settings
        self.slots: dict[str, Slot] = {}
        self.default: str | None = None
        self.failure: Exception | None = None
        self.opened = asyncio.Event()  # the first models are warm, or could not be opened
        self._open_engine = open_engine
        self._changing = asyncio.Lock()
        self._refused: dict[str, State] = {}  # folders that could not be used, so as to say it once

    async def start(self, artifacts: Sequence[Artifact], default: str | None) -> None:
        """Open the first models and warm them up.  What goes wrong is kept in ``failure``."""
        try:
            for artifact in artifacts:
                self.slots[artifact.name] = Slot(await asyncio.to_thread(self._open, artifact))
            self.default = default
        except Exception as error:
            logger.error("the model could not be opened: %s", error)
            self.failure = error
        _give_back_memory()
        self.opened.set()

    @property
    def ready(self) -> bool:
        """Whether the first models are warm."""
        return self.opened.is_set() and self.failure is None

    def find(self, name: str | None) -> Version:
        """The version that answers requests for a name, or for no name.

        Raises NotReadyError before the first models are warm, UnknownModelError if there is no such model.
        """
        if not self.ready:
            raise NotReadyError("the model could not be opened" if self.failure else "the model is not ready")
        slot = self.slots.get(name if name is not None else self.default or "")
        if slot is None:
            served = ", ".join(sorted(self.slots))
            what = "no model of that name is served" if name is not None else "there are several models: name one"
            raise UnknownModelError(f"{what}: there are {served}")
        return slot.active

    async def load(self, name: str) -> Slot | None:
        """Read a model's folder, verify it, open it and warm it up, beside the version that answers.

        Returns its slot, or None if the name was not served before: then it is active at once.
        Raises RefusedError saying why not; what is served stays as it is.
        """
        async with self._changing:
            try:
                path = self._path(name)
            except ArtifactError as error:
                logger.warning("%s", error)
                raise RefusedError("the models folder cannot be read") from error
            return await self._load(name, path)

    async def _load(self, name: str, path: Path) -> Slot | None:
        try:
            artifact = await asyncio.to_thread(Artifact.load, path)
            slot = self.slots.get(name)
            if slot is not None and artifact.digest == slot.active.artifact.digest:
                slot.staged = None
                return slot
            version = await asyncio.to_thread(self._open, artifact)
        except ArtifactError as error:
            # The log has the path; whoever asked gets the reason without it.
            logger.warning("model %s was not loaded: %s", name, error)
            raise RefusedError(f"the model was not loaded: {str(error).replace(str(path), name)}") from error
        if slot is None:
            self.slots[name] = Slot(version)
            self._swapped(name)
            return None
        slot.staged = version
        return slot

    def activate(self, name: str) -> Slot:
        """Let the loaded version answer from the next request on.  Raises UnknownModelError or RefusedError."""
        slot = self._slot(name)
        if slot.staged is None:
            raise RefusedError("no other version is loaded: load one first")
        slot.previous, slot.active, slot.staged = slot.active, slot.staged, None
        self._swapped(name)
        return slot

    def rollback(self, name: str) -> Slot:
        """Let the version before this one answer again.  Raises UnknownModelError or RefusedError."""
        slot = self._slot(name)
        if slot.previous is None:
            raise RefusedError("there is no version before this one")
        slot.active, slot.previous = slot.previous, slot.active
        self._swapped(name)
        return slot

    async def refresh(self) -> list[str]:
        """Load and activate every model whose folder holds another version; returns their names.

        A folder that cannot be used is logged, once for each content, and what it would replace goes on answering.
        """
        try:
            folders = self._folders()
        except ArtifactError as error:
            logger.warning("%s", error)
            return []
        return [path.name for path in folders if await self._renewed(path)]

    async def _renewed(self, path: Path) -> bool:
        state, slot = await asyncio.to_thread(_state, path), self.slots.get(path.name)
        if state is None or state == self._refused.get(path.name):
            return False
        if slot is not None and state[0] == slot.active.artifact.digest:
            return False
        try:
            loaded = await self.load(path.name)
            if loaded is not None and loaded.staged is not None:
                self.activate(path.name)
        except UnknownModelError:  # just being replaced
            return False
        except Exception as error:
            self._refused[path.name] = state
            if not isinstance(error, RefusedError):  # which is logged
                logger.exception("model %s was not loaded", path.name)
            return False
        return True

    async def watch(self, every_s: float) -> None:
        """Refresh every so often, for ever."""
        while True:
            await asyncio.sleep(every_s)
            await self.refresh()

    def _open(self, artifact: Artifact) -> Version:
        engine = self._open_engine(artifact, self.settings.threads)
        engine.warm_up()
        _ = artifact.novelty  # read now, and not by the first request that needs it
        return Version(artifact.name, artifact, engine)

    def _swapped(self, name: str) -> None:
        logger.info("model %s is now %s", name, self.slots[name].active.artifact.digest[:12])
        _give_back_memory()

    def _slot(self, name: str) -> Slot:
        if name not in self.slots:
            raise UnknownModelError(f"no model of that name is served: there are {', '.join(sorted(self.slots))}")
        return self.slots[name]

    def _folders(self) -> list[Path]:
        folders = {path.name: path for path in model_folders(self.settings.models)} if self.settings.models else {}
        if self.settings.model is not None and self.settings.model.is_dir():
            folders.setdefault(self.settings.model.resolve().name, self.settings.model.resolve())
        return list(folders.values())

    def _path(self, name: str) -> Path:
        for path in self._folders():
            if NAME.fullmatch(name) and path.name == name:
                return path
        raise UnknownModelError("the models folder has no model of that name")


def model_folders(models: Path) -> list[Path]:
    """The folders in a folder that look like models, by name."""
    try:
        return sorted(
            path for path in models.resolve().iterdir() if (path / MANIFEST).is_file() and NAME.fullmatch(path.name)
        )
    except OSError as error:
        raise ArtifactError(f"cannot read the models folder {models}: {error.strerror}") from error


def first_models(settings: Settings) -> tuple[list[Artifact], str | None]:
    """The models that a service begins with, and the name of the default one: model itself, or the only one.

    One of several that cannot be used is logged and left out.  Raises ArtifactError if none can.
    """
    if settings.models is None:
        assert settings.model is not None
        artifact = Artifact.load(settings.model)
        return [artifact], artifact.name
    folders, default = model_folders(settings.models), None
    if settings.model is not None:
        by_name = settings.models.resolve() / settings.model
        chosen = (by_name if by_name.is_dir() else settings.model).resolve()
        default = chosen.name
        folders = [chosen, *(path for path in folders if path.name != default)]
    artifacts = []
    for path in folders:
        try:
            artifacts.append(Artifact.load(path))
        except ArtifactError as error:
            if path.name == default:
                raise
            logger.warning("left out: %s", error)
    if not artifacts:
        raise ArtifactError(f"no model in {settings.models} can be used; `charwgan export` makes one from a run")
    return artifacts, default or (artifacts[0].name if len(artifacts) == 1 else None)


def _give_back_memory() -> None:
    """Return to the system what reading a model took, and leave what stays out of further collections."""
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def _state(path: Path) -> State | None:
    try:
        digest = hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
        files = [(file.name, file.stat()) for file in sorted(path.iterdir())]
    except OSError:  # just being replaced
        return None
    return digest, tuple((name, facts.st_size, facts.st_mtime_ns) for name, facts in files)
