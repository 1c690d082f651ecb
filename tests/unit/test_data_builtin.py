"""The corpora that come with the dependencies, and the data sets of the hub."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from model.errors import ConfigurationError, DataError, MissingDependencyError, SourceError
from training.configuration import DataConfig
from training.data import Corpus, open_dataset
from training.data.builtin import locales, names_of

Open = Callable[..., Corpus]


@pytest.fixture
def open_text(tmp_path: Path) -> Open:
    def opened(*sources: str, **options: object) -> Corpus:
        corpus = open_dataset(DataConfig(sources=sources, **options), tmp_path / "cache")
        assert isinstance(corpus, Corpus)
        return corpus

    return opened


def strings(corpus: Corpus) -> list[str]:
    return sorted(corpus.alphabet.decode(np.concatenate([corpus.train, corpus.held_out])))


def test_the_names_are_the_unique_first_and_last_names_of_every_locale(open_text: Open) -> None:
    corpus = open_text("builtin:names", max_length=64)
    names = strings(corpus)
    assert len(names) == len(set(names)) > 50_000
    assert {"Heinrich", "太郎", "Ólafur", "Müller"} <= set(names)
    assert all(name == name.strip() for name in names)
    assert corpus.label_names == ()


def test_labelled_names_come_once_for_each_locale_that_has_them(open_text: Open) -> None:
    corpus = open_text("builtin:names", max_length=64, label="locale")
    assert corpus.label_names == locales()
    assert len(corpus.label_names) > 80
    assert corpus.report.lines == sum(len(names_of(locale)) for locale in locales())


def test_locales_can_be_chosen(open_text: Open) -> None:
    german = strings(open_text("builtin:names?locale=de_DE", max_length=64))
    assert german == sorted(names_of("de_DE"))
    both = open_text("builtin:names?locale=ja_JP,de_DE", max_length=64, label="locale")
    assert both.label_names == ("de_DE", "ja_JP")
    assert both.report.lines == len(german) + len(names_of("ja_JP"))


def test_an_unknown_locale_is_an_error_with_those_spelled_like_it(open_text: Open) -> None:
    with pytest.raises(SourceError, match=r"no names for the locale 'de_ED': did you mean .*de_DE.*\?$"):
        open_text("builtin:names?locale=de_ED")
    with pytest.raises(SourceError, match=r"no names for the locale '': there are ar_AA(, \w+){5} and \d+ more$"):
        open_text("builtin:names?locale=")


def test_names_have_no_other_column_than_the_locale(open_text: Open) -> None:
    with pytest.raises(SourceError, match="builtin:names has no column 'country': it has name, locale"):
        open_text("builtin:names", label="country")


def test_the_docs_are_paragraphs_of_english_without_code(open_text: Open) -> None:
    corpus = open_text("builtin:docs", max_length=1024, on_long="drop")
    paragraphs = strings(corpus)
    assert sum(map(len, paragraphs)) > 100_000
    assert all("  " not in text and "\n" not in text and "::=" not in text for text in paragraphs)
    assert sum(text.split()[0] == "The" for text in paragraphs) > 20


def test_the_docs_in_windows_are_mostly_full(open_text: Open) -> None:
    corpus = open_text("builtin:docs", on_long="window")
    assert corpus.shape[0] == 64
    assert np.mean(corpus.train[:, -1] != 0) > 0.6


def test_an_unknown_builtin_lists_those_that_exist(open_text: Open) -> None:
    with pytest.raises(
        SourceError, match="there is no builtin:nmaes: there are builtin:names, builtin:docs, builtin:ri"
    ):
        open_text("builtin:nmaes")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("builtin:names?lang=de", "unknown option 'lang': builtin:names takes the option locale"),
        ("builtin:docs?locale=en", "unknown option 'locale': builtin:docs takes no options"),
    ],
)
def test_an_unknown_option_of_a_builtin_names_those_it_takes(open_text: Open, source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_text(source)


def test_names_without_faker_name_the_command_that_installs_it(
    open_text: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    locales.cache_clear()
    monkeypatch.setitem(sys.modules, "faker.providers.person", None)
    with pytest.raises(MissingDependencyError, match=r"builtin:names needs .* faker.*pip install '\.\[train\]'"):
        open_text("builtin:names")


def test_importing_the_data_package_imports_no_torch() -> None:
    code = "import sys, training.data; print(sorted({'torch', 'pyarrow', 'faker', 'sklearn'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


class Table:
    """Stands in for a split of the package ``datasets``."""

    def __init__(self, **columns: list[object]) -> None:
        self.columns = columns
        self.column_names = list(columns)
        self.features = dict.fromkeys(columns, object())
        self._fingerprint = "f1"

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def iter(self, batch_size: int) -> Iterator[dict[str, list[object]]]:
        for start in range(0, len(self), batch_size):
            yield {name: values[start : start + batch_size] for name, values in self.columns.items()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], Table]:
    """Data sets that the stub of ``datasets`` finds, by name and split."""
    tables: dict[tuple[str, str], Table] = {}

    def load_dataset(name: str, split: str) -> Table:
        if (name, split) not in tables:
            raise RuntimeError(f"Dataset '{name}'\ndoesn't exist")
        return tables[name, split]

    module = ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return tables


def test_a_hub_data_set_is_read_by_split_and_column(hub: dict[tuple[str, str], Table], open_text: Open) -> None:
    hub["owner/words", "train"] = Table(text=["a", "b", None], other=[1, 2, 3])
    hub["owner/words", "test"] = Table(text=["c", "d"])
    assert strings(open_text("hf:owner/words")) == ["a", "b"]
    assert strings(open_text("hf:owner/words:test")) == ["c", "d"]
    assert strings(open_text("hf:owner/words", column="other")) == ["1", "2", "3"]
    with pytest.raises(DataError, match="hf:owner/words has no column 'word': it has text, other"):
        open_text("hf:owner/words", column="word")


def test_class_labels_of_the_hub_come_by_name(hub: dict[tuple[str, str], Table], open_text: Open) -> None:
    table = Table(text=["a", "b", "c"], kind=[1, 0, -1])
    table.features["kind"] = SimpleNamespace(names=["low", "high"])
    hub["words", "train"] = table
    assert open_text("hf:words", label="kind").label_names == ("", "high", "low")


def test_a_new_fingerprint_of_the_hub_is_prepared_anew(hub: dict[tuple[str, str], Table], open_text: Open) -> None:
    hub["words", "train"] = Table(text=["a", "b"])
    first = open_text("hf:words")
    hub["words", "train"] = Table(text=["c", "d"])
    assert open_text("hf:words").digest == first.digest
    hub["words", "train"]._fingerprint = "f2"
    assert open_text("hf:words").digest != first.digest


def test_the_hubs_own_words_come_in_one_line(hub: dict[tuple[str, str], Table], open_text: Open) -> None:
    with pytest.raises(DataError, match=r"^cannot load hf:nothing: Dataset 'nothing' doesn't exist$"):
        open_text("hf:nothing")
    with pytest.raises(DataError, match="'hf:' names no data set"):
        open_text("hf:")


def test_the_hub_without_datasets_names_the_command_that_installs_it(
    open_text: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match=r"hf:words needs .* datasets.*pip install '\.\[hf\]'"):
        open_text("hf:words")


def test_no_source_is_wrong_use(open_text: Open) -> None:
    with pytest.raises(ConfigurationError, match=r"data\.sources names nothing"):
        open_text()
