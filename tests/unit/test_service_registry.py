"""Which version of a model answers, and how another takes its place."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from model_versions import contents_of, noted, put
from registries import digest, play, sampler

from model.errors import ArtifactError
from service.folders import first_models
from service.registry import RefusedError, Registry, UnknownModelError
from service.settings import Settings
from service.ticket import NotReadyError


@pytest.fixture
def models(tiny_model: Path, tmp_path: Path) -> Path:
    for name in ("one", "two"):
        put(tmp_path / "models" / name, noted(tiny_model, name))
    return tmp_path / "models"


def test_every_model_of_the_folder_is_served_by_name(models: Path) -> None:
    async def scenario(registry: Registry) -> None:
        assert {name: registry.find(name).artifact.digest for name in ("one", "two")} == {
            name: digest(models / name) for name in ("one", "two")
        }
        with pytest.raises(UnknownModelError, match="there are several models: name one: there are one, two"):
            registry.find(None)

    play(scenario, Settings(models=models))


def test_the_named_model_answers_those_who_name_none(models: Path) -> None:
    async def scenario(registry: Registry) -> None:
        assert registry.find(None).name == "two"

    play(scenario, Settings(models=models, model=Path("two")))


def test_before_the_first_models_are_warm_nothing_is_found(tiny_model: Path) -> None:
    async def main() -> None:
        registry = Registry(Settings(model=tiny_model), sampler)
        with pytest.raises(NotReadyError, match="not ready"):
            registry.find(None)

    asyncio.run(main())


def test_a_broken_model_is_left_out_unless_it_is_the_one_that_was_named(models: Path) -> None:
    (models / "one" / "generator.onnx").write_bytes(b"")
    artifacts, default = first_models(Settings(models=models))
    assert [artifact.name for artifact in artifacts] == ["two"]
    assert default == "two"
    with pytest.raises(ArtifactError, match=r"generator\.onnx is damaged"):
        first_models(Settings(models=models, model=Path("one")))


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no model in .* can be used"):
        first_models(Settings(models=tmp_path))
    with pytest.raises(ArtifactError, match="cannot read the models folder"):
        first_models(Settings(models=tmp_path / "none"))


def test_a_loaded_version_answers_when_it_is_activated_and_not_before(models: Path, tiny_model: Path) -> None:
    async def scenario(registry: Registry) -> None:
        before = registry.find("one").artifact.digest
        put(models / "one", noted(tiny_model, "newer"))
        await registry.load("one")
        assert registry.find("one").artifact.digest == before
        registry.activate("one")
        assert registry.find("one").artifact.digest == digest(models / "one") != before
        registry.rollback("one")
        assert registry.find("one").artifact.digest == before
        registry.rollback("one")
        assert registry.find("one").artifact.digest != before

    play(scenario, Settings(models=models))


def test_a_new_model_is_served_when_it_is_loaded(models: Path, tiny_model: Path) -> None:
    async def scenario(registry: Registry) -> None:
        put(models / "three", contents_of(tiny_model))
        await registry.load("three")
        assert registry.find("three").artifact.digest == digest(models / "three")

    play(scenario, Settings(models=models))


def test_what_cannot_be_activated_or_rolled_back_is_refused(models: Path) -> None:
    async def scenario(registry: Registry) -> None:
        with pytest.raises(RefusedError, match="load one first"):
            registry.activate("one")
        with pytest.raises(RefusedError, match="no version before this one"):
            registry.rollback("one")
        await registry.load("one")  # the same version: nothing to activate
        with pytest.raises(RefusedError, match="load one first"):
            registry.activate("one")

    play(scenario, Settings(models=models))


@pytest.mark.parametrize(
    "name", ["../one", "/etc", "one/../two", "http://host/x", ".", "", "none", "one\0", "ONE", "o" * 300]
)
def test_a_model_is_named_and_never_addressed(models: Path, name: str) -> None:
    async def scenario(registry: Registry) -> None:
        with pytest.raises(UnknownModelError):
            await registry.load(name)

    play(scenario, Settings(models=models))


def test_a_damaged_version_is_refused_and_the_old_one_goes_on(models: Path) -> None:
    async def scenario(registry: Registry) -> None:
        before = registry.find("one")
        (models / "one" / "critic.onnx").write_bytes(b"")
        with pytest.raises(RefusedError, match=r"the model was not loaded: one/critic\.onnx is damaged"):
            await registry.load("one")
        assert registry.find("one") is before

    play(scenario, Settings(models=models))


def test_a_refresh_takes_what_changed_and_looks_at_a_broken_folder_once(
    models: Path, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(registry: Registry) -> None:
        assert await registry.refresh() == []
        put(models / "two", noted(tiny_model, "newer"))
        put(models / "three", contents_of(tiny_model))
        put(models / "four", contents_of(tiny_model))
        (models / "four" / "README.md").write_bytes(b"")
        assert await registry.refresh() == ["three", "two"]
        assert registry.find("two").artifact.digest == digest(models / "two")
        assert await registry.refresh() == []
        assert sum("four was not loaded" in record.message for record in caplog.records) == 1
        shutil.rmtree(models / "two")
        assert await registry.refresh() == []
        assert registry.find("two").name == "two"

    play(scenario, Settings(models=models))
