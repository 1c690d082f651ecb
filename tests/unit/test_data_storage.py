"""The cache of prepared corpora: made once, whole or not at all."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import training.data.corpus as corpus_module
from model.errors import DataError
from training.configuration import DataConfig
from training.data import Corpus, open_dataset
from training.data.storage import NpyWriter, cache_folder, make_once

ROOT = Path(__file__).parents[2]
Open = Callable[..., Corpus]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("".join(f"name {i}\n" for i in range(20_000)))
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def opened(source: Path, cache: Path, **options: object) -> Corpus:
    corpus = open_dataset(DataConfig(sources=(str(source),), **options), cache)
    assert isinstance(corpus, Corpus)
    return corpus


def test_a_second_open_reads_nothing_of_the_source_again(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(source, cache)
    monkeypatch.setattr(corpus_module, "_prepare", lambda *_: pytest.fail("prepared again"))
    again = opened(source, cache)
    assert (again.folder, again.digest, again.report) == (first.folder, first.digest, first.report)
    assert isinstance(again.train, np.memmap)
    assert np.array_equal(again.train, first.train)


def test_the_parts_are_plain_read_only_npy_files(source: Path, cache: Path) -> None:
    corpus = opened(source, cache)
    assert {path.name for path in corpus.folder.iterdir()} == {
        "train.npy",
        "train_hashes.npy",
        "held_out.npy",
        "tokenizer.json",
        "corpus.json",
    }
    assert np.array_equal(np.load(corpus.folder / "train.npy"), corpus.train)
    assert not corpus.train.flags.writeable
    assert json.loads((corpus.folder / "corpus.json").read_text())["digest"] == corpus.digest


def test_another_option_or_a_changed_file_is_prepared_anew(source: Path, cache: Path) -> None:
    folders = {opened(source, cache).folder, opened(source, cache, seed=1).folder}
    with source.open("a") as file:
        file.write("one more\n")
    changed = opened(source, cache)
    assert changed.report.lines == 20_001
    assert len(folders | {changed.folder}) == 3


def test_the_same_file_under_another_spelling_is_not_prepared_again(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    assert opened(Path(source.name), cache).folder == opened(source, cache).folder


@pytest.mark.parametrize("damage", ["corpus.json", "tokenizer.json", "train.npy", "train_hashes.npy", "held_out.npy"])
def test_a_damaged_cache_is_made_again(source: Path, cache: Path, damage: str) -> None:
    first = opened(source, cache)
    path = first.folder / damage
    path.write_bytes(path.read_bytes()[:-40])
    assert opened(source, cache).digest == first.digest
    path.unlink()
    assert opened(source, cache).digest == first.digest


def test_a_file_that_changes_while_it_is_read_is_an_error_and_leaves_nothing(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = corpus_module._prepare

    def growing(*args: object) -> None:
        prepare(*args)  # type: ignore[arg-type]
        with source.open("a") as file:
            file.write("late\n")

    monkeypatch.setattr(corpus_module, "_prepare", growing)
    with pytest.raises(DataError, match=r"names\.txt changed while being read"):
        opened(source, cache)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def run(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


KILLED = """
import os, signal, sys
from pathlib import Path
from training.configuration import DataConfig
from training.data import open_dataset, storage
append = storage.NpyWriter.append
def append_and_die(self, rows):
    append(self, rows)
    os.kill(os.getpid(), signal.SIGKILL)
storage.NpyWriter.append = append_and_die
open_dataset(DataConfig(sources=(sys.argv[1],)), Path(sys.argv[2]))
"""


def test_a_kill_leaves_nothing_that_is_taken_for_a_corpus_and_the_next_call_clears_up(
    source: Path, cache: Path
) -> None:
    assert run(KILLED, source, cache).returncode == -signal.SIGKILL
    assert sorted(path.suffix for path in cache.iterdir()) == [".lock", ".partial"]
    opened(source, cache, seed=1)
    assert sorted(path.suffix for path in cache.iterdir()) == ["", ".lock", ".lock"]
    assert opened(source, cache).digest == opened(source, cache / "fresh").digest


FULL = """
import resource, sys
from pathlib import Path
from model.errors import DataError
from training.configuration import DataConfig
from training.data import open_dataset
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    open_dataset(DataConfig(sources=(sys.argv[1],)), Path(sys.argv[2]))
except DataError as error:
    print(error)
"""


def test_no_room_on_disk_is_an_error_that_says_where_and_leaves_nothing(source: Path, cache: Path) -> None:
    done = run("import warnings; warnings.simplefilter('error')" + FULL, source, cache)
    assert done.stdout.startswith(
        f"cannot write the prepared corpus to {cache}: File too large: free some space, or set"
    )
    assert done.stderr == ""
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_cache_that_is_no_folder_is_an_error_that_names_the_variable(source: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match=r"cannot write the prepared corpus to .*taken.*set CHARWGAN_CACHE"):
        opened(source, tmp_path / "taken")


def test_of_many_that_want_the_same_folder_one_builds(cache: Path) -> None:
    built = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "whole").touch()

    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: make_once(cache, "key", build), range(8)))
    assert folders == {cache / "key"}
    assert len(built) == 1


def test_the_cache_folder_is_the_variable_then_xdg_then_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("CHARWGAN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/somebody/.cache/charwgan")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/charwgan")
    monkeypatch.setenv("CHARWGAN_CACHE", "/mine")
    assert cache_folder() == Path("/mine")


def test_the_cache_variable_is_used_when_no_folder_is_given(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARWGAN_CACHE", str(cache))
    corpus = open_dataset(DataConfig(sources=(str(source),)))
    assert isinstance(corpus, Corpus)
    assert corpus.folder.parent == cache


def test_a_growing_array_is_the_array_that_numpy_saves(tmp_path: Path) -> None:
    rows = np.arange(3_000_000, dtype=np.uint16).reshape(-1, 3)
    with NpyWriter(tmp_path / "a.npy", rows.dtype, (3,)) as writer:
        for part in np.array_split(rows, 7):
            writer.append(part)
        assert writer.take_last().tolist() == rows[-1:].tolist()
        writer.append(rows[:1])
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.concatenate([rows[:-1], rows[:1]]))
