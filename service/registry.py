"""The models that are served: which version of each is active, and how another takes its place.

A model is loaded beside the one that answers, verified and warmed up, and only then swapped in, between two requests.
Names come from requests, paths never: a name is looked up in the models folder and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.artifact import Artifact
from model.errors import ArtifactError
from service.folders import NAME, State, model_folders, read_model, state_of
from service.settings import Settings
from service.ticket import NotReadyError
from service.version import Engine, Version

logger = logging.getLogger("charwgan.service")

OpenEngine = Callable[[Artifact, int | None], Engine]


class UnknownModelError(Exception):
    """No model of that name is served."""


class RefusedError(Exception):
    """A model cannot be loaded, activated or rolled back to."""


@dataclass
class Slot:
    """The versions of one name: the one that answers, the one before it, and one that was loaded to follow.

    withdrawn: digest of the one that was rolled back, which no refresh takes up again.
    """

    active: Version
    previous: Version | None = None
    staged: Version | None = None
    withdrawn: str | None = None

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
            async with self._changing:
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

    def slot(self, name: str) -> Slot:
        """The versions of a name.  Raises UnknownModelError if it is not served."""
        if name not in self.slots:
            raise UnknownModelError(f"no model of that name is served: there are {', '.join(sorted(self.slots))}")
        return self.slots[name]

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
            try:
                return await self._load(name, path)
            except ArtifactError as error:
                # The log has the path; whoever asked gets the reason without it.
                logger.warning("model %s was not loaded: %s", name, error)
                reason = str(error).replace(str(path.resolve()), name).replace(str(path), name)
                raise RefusedError(f"the model was not loaded: {reason}") from error
            except Exception as error:
                logger.exception("model %s was not loaded", name)
                raise RefusedError("the model was not loaded: the service's log says why") from error

    async def _load(self, name: str, path: Path) -> Slot | None:
        artifact = await asyncio.to_thread(read_model, path, self.settings.models)
        slot = self.slots.get(name)
        held = [version for _, version in slot.roles() if version.artifact.digest == artifact.digest] if slot else []
        version = held[0] if held else await asyncio.to_thread(self._open, artifact)
        if slot is None:
            self.slots[name] = Slot(version)
            self._swapped(name)
            return None
        slot.staged = None if version is slot.active else version
        return slot

    def activate(self, name: str) -> Slot:
        """Let the loaded version answer from the next request on.  Raises UnknownModelError or RefusedError."""
        slot = self.slot(name)
        if slot.staged is None:
            raise RefusedError("no other version is loaded: load one first")
        slot.previous, slot.active, slot.staged, slot.withdrawn = slot.active, slot.staged, None, None
        self._swapped(name)
        return slot

    def rollback(self, name: str) -> Slot:
        """Let the version before this one answer again.  Raises UnknownModelError or RefusedError."""
        slot = self.slot(name)
        if slot.previous is None:
            raise RefusedError("there is no version before this one")
        slot.active, slot.previous = slot.previous, slot.active
        slot.withdrawn = slot.previous.artifact.digest
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
        state, slot = await asyncio.to_thread(state_of, path), self.slots.get(path.name)
        if state is None or state == self._refused.get(path.name):
            return False
        if slot is not None and state[0] in (slot.active.artifact.digest, slot.withdrawn):
            return False
        try:
            loaded = await self.load(path.name)
        except UnknownModelError:  # just being replaced
            return False
        except RefusedError:
            self._refused[path.name] = state
            return False
        if loaded is None:
            return True
        if loaded.staged is None:  # another refresh was quicker, or the folder was put back
            return False
        self.activate(path.name)
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


def _give_back_memory() -> None:
    """Return to the system what reading a model took, and leave what stays out of further collections."""
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
