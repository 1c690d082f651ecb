"""What may go wrong while a model is loaded beside the one that answers: it is said, and that one goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from pathlib import Path

import pytest
from model_versions import contents_of, noted, put
from registries import digest, play, sampler

from model.artifact import Artifact
from model.sampler import Sampler
from service.folders import first_models
from service.registry import RefusedError, Registry
from service.settings import Settings


@pytest.fixture
def models(tiny_model: Path, tmp_path: Path) -> Path:
    put(tmp_path / "models" / "one", noted(tiny_model, "one"))
    return tmp_path / "models"


async def refusal(registry: Registry, name: str = "one") -> str:
    """Why a model is not loaded, where the one that answers goes on."""
    before = registry.find("one")
    with pytest.raises(RefusedError) as refused:
        await registry.load(name)
    assert registry.find("one") is before
    assert registry.ready
    return str(refused.value)


class Opening:
    """Opens engines as the service does, and does something else as well, before or after the first."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.meanwhile = lambda: None

    def __call__(self, artifact: Artifact, threads: int | None) -> Sampler:
        self.meanwhile()
        self.opened.append(artifact.digest)
        return sampler(artifact, threads)


def test_loads_of_one_name_at_once_open_it_once(models: Path, tiny_model: Path) -> None:
    opening = Opening()

    async def scenario(registry: Registry) -> None:
        after = put(models / "one", noted(tiny_model, "newer"))
        await asyncio.gather(*(registry.load("one") for _ in range(4)))
        assert opening.opened[1:] == [after]
        assert registry.activate("one").active.artifact.digest == after

    play(scenario, Settings(models=models), opening)


def test_a_version_that_is_held_is_not_opened_again(models: Path, tiny_model: Path) -> None:
    opening = Opening()

    async def scenario(registry: Registry) -> None:
        first = registry.find("one")
        put(models / "one", noted(tiny_model, "newer"))
        await registry.load("one")
        registry.activate("one")
        put(models / "one", noted(tiny_model, "one"))
        await registry.load("one")
        assert registry.activate("one").active is first
        assert len(opening.opened) == 2

    play(scenario, Settings(models=models), opening)


def test_what_is_loaded_while_the_first_models_open_is_not_lost(models: Path, tiny_model: Path) -> None:
    opening, entered, go_on = Opening(), threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert go_on.wait(10)

    opening.meanwhile = wait

    async def main() -> None:
        settings = Settings(models=models)
        registry = Registry(settings, opening)
        starting = asyncio.create_task(registry.start(*first_models(settings)))
        await asyncio.to_thread(entered.wait, 10)
        after = put(models / "one", noted(tiny_model, "newer"))
        loading = asyncio.create_task(registry.load("one"))
        go_on.set()
        await asyncio.gather(starting, loading)
        assert registry.find("one").artifact.digest != after
        assert registry.activate("one").active.artifact.digest == after

    asyncio.run(main())


def test_a_folder_that_vanishes_while_it_is_loaded_is_said_to_be_gone(models: Path, tiny_model: Path) -> None:
    opening = Opening()

    async def scenario(registry: Registry) -> None:
        put(models / "one", noted(tiny_model, "newer"))
        opening.meanwhile = lambda: shutil.rmtree(models / "one")
        assert await refusal(registry) == (
            "the model was not loaded: cannot read one/generator.onnx: No such file or directory"
        )

    play(scenario, Settings(models=models), opening)


def test_a_folder_that_is_replaced_while_it_is_loaded_is_not_mixed(models: Path, tiny_model: Path) -> None:
    opening = Opening()

    async def scenario(registry: Registry) -> None:
        put(models / "one", noted(tiny_model, "newer"))
        changed = contents_of(tiny_model) | {"generator.onnx": b"another graph"}
        opening.meanwhile = lambda: put(models / "one", changed)  # type: ignore[assignment]
        assert "one/generator.onnx has changed since it was verified" in await refusal(registry)

    play(scenario, Settings(models=models), opening)


def test_an_engine_that_fails_in_a_way_of_its_own_is_logged_and_not_repeated(
    models: Path, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opening = Opening()

    def fail() -> None:
        raise RuntimeError(f"cannot map {models}")

    async def scenario(registry: Registry) -> None:
        put(models / "one", noted(tiny_model, "newer"))
        opening.meanwhile = fail
        assert await refusal(registry) == "the model was not loaded: the service's log says why"
        assert await registry.refresh() == []
        assert f"cannot map {models}" in caplog.text

    play(scenario, Settings(models=models), opening)


def test_a_link_that_leaves_the_models_folder_is_refused(models: Path, tiny_model: Path, tmp_path: Path) -> None:
    async def scenario(registry: Registry) -> None:
        (models / "away").symlink_to(tiny_model)
        assert "away is a link that leaves the models folder" in await refusal(registry, "away")
        put(tmp_path / "outside", noted(tiny_model, "newer"))
        put(models / "one", noted(tiny_model, "newer"))
        (models / "one" / "README.md").unlink()
        (models / "one" / "README.md").symlink_to(tmp_path / "outside" / "README.md")
        told = await refusal(registry)
        assert "one/README.md is a link that leaves the models folder" in told
        assert str(tmp_path) not in told
        assert set(registry.slots) == {"one"}

    play(scenario, Settings(models=models))


def test_a_service_begins_without_a_model_that_lies_elsewhere(
    models: Path, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (models / "away").symlink_to(tiny_model)
    (models / "round").symlink_to(models / "round")
    artifacts, _ = first_models(Settings(models=models))
    assert [artifact.name for artifact in artifacts] == ["one"]
    assert "away is a link that leaves the models folder" in caplog.text


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(models: Path) -> None:
    async def scenario(registry: Registry) -> None:
        (models / "one" / "generator.onnx").unlink()
        os.mkfifo(models / "one" / "generator.onnx")
        assert "one/generator.onnx is neither a file nor a folder" in await refusal(registry)

    play(scenario, Settings(models=models))


def test_a_link_within_the_models_folder_is_a_name_that_can_be_moved(models: Path, tiny_model: Path) -> None:
    (models / "current").symlink_to("one")

    async def scenario(registry: Registry) -> None:
        assert registry.find("current").identity == {"name": "current", "digest": digest(models / "one")}
        after = put(models / "two", noted(tiny_model, "two"))
        (models / "next").symlink_to("two")
        (models / "next").rename(models / "current")
        assert await registry.refresh() == ["current", "two"]
        assert registry.find("current").identity == {"name": "current", "digest": after}

    play(scenario, Settings(models=models, model=Path("current")))


def test_no_refresh_undoes_a_rollback_until_the_folder_changes(models: Path, tiny_model: Path) -> None:
    async def scenario(registry: Registry) -> None:
        before = registry.find("one").artifact.digest
        put(models / "one", noted(tiny_model, "bad"))
        assert await registry.refresh() == ["one"]
        registry.rollback("one")
        assert await registry.refresh() == []
        assert registry.find("one").artifact.digest == before
        mended = put(models / "one", noted(tiny_model, "mended"))
        assert await registry.refresh() == ["one"]
        assert registry.find("one").artifact.digest == mended

    play(scenario, Settings(models=models))


def test_a_folder_that_was_refused_is_looked_at_again_when_anything_of_it_changes(
    models: Path, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(registry: Registry) -> None:
        put(models / "one", noted(tiny_model, "newer"))
        (models / "one" / "README.md").write_bytes(b"")
        for _ in range(2):
            assert await registry.refresh() == []
        assert caplog.text.count("one was not loaded") == 1
        (models / "one" / "README.md").chmod(0o600)
        assert await registry.refresh() == []
        assert caplog.text.count("one was not loaded") == 2

    play(scenario, Settings(models=models))


def test_a_model_keeps_its_card_when_its_folder_is_replaced(models: Path, tiny_model: Path) -> None:
    async def scenario(registry: Registry) -> None:
        put(models / "one", contents_of(tiny_model) | {"README.md": b"another card"})
        card = registry.find("one").artifact.card
        assert card == (tiny_model / "README.md").read_text(encoding="utf-8")

    play(scenario, Settings(models=models))
