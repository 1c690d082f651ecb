"""A model folder: written whole or not at all, read only if every byte is what its manifest says."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_files import ALPHABET, contents
from safetensors.numpy import save

from model import artifact, exchange
from model.artifact import MANIFEST, REQUIRED, Artifact, write_artifact
from model.errors import ArtifactError


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "names"
    write_artifact(path, contents())
    return path


def rewrite_manifest(model: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((model / MANIFEST).read_text())
    change(manifest)
    (model / MANIFEST).write_text(json.dumps(manifest))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "names"
    digest = write_artifact(path, contents())
    read = Artifact.load(path)
    assert read.digest == digest == hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    assert (read.name, read.latent, read.alphabet) == ("names", 6, ALPHABET)
    assert read.config == {"model": {"latent": 6}}
    assert read.metrics == {"rows": [1]}
    assert {name: data for name, data in snapshot(path).items() if name != MANIFEST} == contents()
    assert snapshot(tmp_path).keys() == {f"deep/names/{name}" for name in (*REQUIRED, MANIFEST)}


def test_the_manifest_holds_the_sha_256_and_size_of_each_file(model: Path) -> None:
    manifest = json.loads((model / MANIFEST).read_text())
    expected = {n: {"sha256": hashlib.sha256(d).hexdigest(), "bytes": len(d)} for n, d in contents().items()}
    assert manifest == {"format": 1, "files": expected}


def test_the_digest_is_a_function_of_the_contents(tmp_path: Path) -> None:
    one, same = write_artifact(tmp_path / "one", contents()), write_artifact(tmp_path / "same", contents())
    other = write_artifact(tmp_path / "other", contents(**{"README.md": b"another card"}))
    assert one == same != other


@pytest.mark.parametrize("name", REQUIRED)
def test_a_flipped_bit_in_any_file_is_noticed(model: Path, name: str) -> None:
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    with pytest.raises(
        ArtifactError, match=rf"{re.escape(name)} is damaged: its SHA-256 is \w{{64}}, .* says \w{{64}}"
    ):
        Artifact.load(model)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_truncated_file_is_noticed(model: Path, name: str) -> None:
    data = (model / name).read_bytes()
    (model / name).write_bytes(data[:-1])
    with pytest.raises(ArtifactError, match=rf"{re.escape(name)} is damaged"):
        Artifact.load(model)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(ArtifactError, match=rf"cannot read .*{re.escape(name)}: No such file"):
        Artifact.load(model)


def test_a_folder_that_is_not_there_and_a_file_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):
        with pytest.raises(ArtifactError, match=rf"no model at .*{name}: it is not a folder"):
            Artifact.load(tmp_path / name)


def test_a_folder_without_a_manifest_is_no_model(model: Path) -> None:
    (model / MANIFEST).unlink()
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing; `charwgan export` makes one"):
        Artifact.load(model)


@pytest.mark.parametrize("outside", ["../x", "/etc/passwd", "a/b", "..", "", "a\0b"])
def test_a_manifest_that_names_something_outside_the_folder_is_refused(model: Path, outside: str) -> None:
    (model.parent / "x").write_bytes(b"secret")
    entry = {"sha256": hashlib.sha256(b"secret").hexdigest(), "bytes": 6}
    rewrite_manifest(model, lambda manifest: manifest["files"].update({outside: entry}))
    with pytest.raises(ArtifactError):
        Artifact.load(model)


def test_a_path_in_a_manifest_is_refused_before_the_file_is_read(model: Path) -> None:
    rewrite_manifest(model, lambda manifest: manifest["files"].update({"../x": {"sha256": "0" * 64}}))
    with pytest.raises(ArtifactError, match=r"names '\.\./x', which lies outside the folder"):
        Artifact.load(model)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda manifest: manifest.update(format=2), r"format 2 is not known, expected 1"),
        (lambda manifest: manifest.pop("format"), r"format None is not known"),
        (lambda manifest: manifest["files"].pop("critic.onnx"), r"does not list every file"),
        (lambda manifest: manifest.update(files=[]), r"does not list every file"),
        (lambda manifest: manifest["files"].update({"README.md": "0" * 64}), r"README\.md is damaged"),
        (lambda manifest: manifest["files"].update({"README.md": {}}), r"README\.md is damaged"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(model: Path, change: Callable[[dict], object], reason: str) -> None:
    rewrite_manifest(model, change)
    with pytest.raises(ArtifactError, match=reason):
        Artifact.load(model)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\ufffd"])
def test_a_manifest_that_is_no_json_object_is_refused(model: Path, text: str) -> None:
    (model / MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json (is not readable JSON|must hold a JSON object)"):
        Artifact.load(model)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["generator.safetensors", "critic.safetensors"])
def test_weights_that_are_not_finite_are_refused_although_the_digests_fit(
    tmp_path: Path, name: str, value: float
) -> None:
    weights = {"fine": np.ones(3, dtype=np.float32), "spoilt": np.array([0, value], dtype=np.float32)}
    write_artifact(tmp_path / "m", contents(**{name: save(weights)}))
    with pytest.raises(ArtifactError, match=rf"{name}: the weight spoilt has values that are not finite"):
        Artifact.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("generator.safetensors", b"", "not a readable safetensors file"),
        ("critic.safetensors", b"\xff" * 64, "not a readable safetensors file"),
        ("tokenizer.json", b"{}", "not a character-level tokenizer"),
        ("config.json", b"[]", "must hold a JSON object"),
        ("config.json", b"\xff", "not readable JSON"),
        ("config.json", b"{}", "does not say model.latent"),
        ("config.json", b'{"model": {"latent": "6"}}', "does not say model.latent"),
        ("config.json", b'{"model": 6}', "does not say model.latent"),
        ("metrics.json", b"null", "must hold a JSON object"),
    ],
)
def test_contents_that_are_no_model_are_refused_although_the_digests_fit(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    write_artifact(tmp_path / "m", contents(**{name: data}))
    with pytest.raises(ArtifactError, match=reason):
        Artifact.load(tmp_path / "m")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_model_is_not_written_without_all_its_files(tmp_path: Path, name: str) -> None:
    files = contents()
    del files[name]
    with pytest.raises(ValueError, match=re.escape(name)):
        write_artifact(tmp_path / "m", files)
    assert not list(tmp_path.iterdir())


def test_a_model_is_replaced_only_when_asked(model: Path) -> None:
    before = snapshot(model.parent)
    with pytest.raises(ArtifactError, match="exists already: choose another folder or say --replace"):
        write_artifact(model, contents(**{"README.md": b"new"}))
    assert snapshot(model.parent) == before
    write_artifact(model, contents(**{"README.md": b"new"}), replace=True)
    assert (model / "README.md").read_bytes() == b"new"
    assert [path.name for path in model.parent.iterdir()] == ["names"]


def test_an_empty_folder_may_become_a_model(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    write_artifact(tmp_path / "m", contents(), replace=True)
    assert Artifact.load(tmp_path / "m").latent == 6


@pytest.mark.parametrize("manifest", [None, '{"name": "an extension of a browser", "manifest_version": 3}', "[]"])
def test_a_folder_that_is_not_a_model_is_never_replaced(tmp_path: Path, manifest: str | None) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    if manifest is not None:
        (folder / MANIFEST).write_text(manifest)
    before = snapshot(tmp_path)
    with pytest.raises(ArtifactError, match="is not a model and is not replaced"):
        write_artifact(folder, contents(), replace=True)
    assert snapshot(tmp_path) == before


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(ArtifactError, match="is not a model and is not replaced"):
        write_artifact(tmp_path / "thesis.txt", contents(), replace=True)
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_a_damaged_model_may_be_replaced(model: Path) -> None:
    (model / "critic.onnx").write_bytes(b"damaged")
    write_artifact(model, contents(), replace=True)
    assert Artifact.load(model).name == "names"


@pytest.mark.parametrize("at", ["config.json", "critic.onnx", MANIFEST])
def test_a_full_disk_leaves_the_old_model_and_nothing_else(
    model: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    before = snapshot(model.parent)

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])
        if path.name == at:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifact, "write_durably", full)
    with pytest.raises(ArtifactError, match=r"cannot write the model to .*names: No space left on device"):
        write_artifact(model, contents(**{"README.md": b"new"}), replace=True)
    assert snapshot(model.parent) == before
    assert [path.name for path in model.parent.iterdir()] == ["names"]


def test_a_failure_between_the_two_renames_brings_the_old_model_back(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "exchange", lambda one, other: False)
    before, rename, targets = snapshot(model.parent), Path.rename, []

    def second_fails(self: Path, target: Path) -> Path:
        targets.append(Path(target).name)
        if len(targets) == 2:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(ArtifactError, match="Input/output error"):
        write_artifact(model, contents(**{"README.md": b"new"}), replace=True)
    assert targets == ["old", "names", "names"]
    assert snapshot(model.parent) == before
    assert [path.name for path in model.parent.iterdir()] == ["names"]


def test_a_parent_that_is_a_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=r"cannot write the model to .*file/m: (File exists|Not a directory)"):
        write_artifact(tmp_path / "file" / "m", contents())


def test_a_model_moved_elsewhere_is_the_same_model(model: Path, tmp_path: Path) -> None:
    digest = Artifact.load(model).digest
    moved = Path(shutil.move(model, tmp_path / "elsewhere"))
    assert Artifact.load(moved).digest == digest
    assert Artifact.load(moved).name == "elsewhere"
