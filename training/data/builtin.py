"""The corpora that come with what is installed anyway: names of people, and English prose."""

from __future__ import annotations

import difflib
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pkgutil import iter_modules
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from model.errors import DataError, SourceError
from training.data.lines import Block, choose_columns, listing
from training.data.optional import load_optional
from training.data.sources import Identity

if TYPE_CHECKING:
    from training.configuration import DataConfig

PREFIX = "builtin:"
TEXTS = ("names", "docs")
POINTS = ("ring", "grid", "mixture1d", "swissroll")
STACKED = "stacked-digits"
SHAPES = "shapes"
IMAGES = ("digits", STACKED, SHAPES)

# first_names, first_names_male, last_names_islamic ...; romanised and kana spellings repeat the same names.
_NAMES = re.compile(r"(first|last)_names")
# What starts a list item or a footnote; a paragraph that reads as a sentence; and signs that it is an example.
_BULLET = re.compile(r"^(\*|\d+\.|\[\d+\]) ")
_PROSE = re.compile(r"""["'(*]*\w.{40,}[.!?:]""")
_CODE = re.compile(r"::=| = |>>>|-->|\.\.\. |^def |^class |^if |^for |^import ")


def parse_builtin(source: str) -> tuple[str, dict[str, str]]:
    """Name and options: "builtin:names?locale=de_DE" gives ("names", {"locale": "de_DE"}).

    Raises SourceError listing those that exist, or naming the option that the corpus does not take.
    """
    name, _, query = source.removeprefix(PREFIX).partition("?")
    known = (*TEXTS, *POINTS, *IMAGES)
    if name not in known:
        raise SourceError(f"there is no {source}: there are {', '.join(PREFIX + each for each in known)}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    allowed = ("locale",) if name == "names" else ()
    for option in options:
        if option not in allowed:
            takes = f"the option {allowed[0]}" if allowed else "no options"
            raise SourceError(f"{source}: unknown option {option!r}: {PREFIX}{name} takes {takes}")
    return name, options


@dataclass(frozen=True)
class Names:
    """First and last names over the locales of the Faker package, labelled by locale.

    Without data.label each name comes once; with data.label = "locale" it comes once for each locale that has it.
    """

    name: str
    locales: tuple[str, ...]

    def identity(self) -> Identity:
        """The version of Faker and the locales."""
        return ("names", str(load_optional("faker", self.name).VERSION), *self.locales)

    def blocks(self, config: DataConfig) -> Iterator[Block]:
        """The names, sorted within each locale.  Raises DataError if another label than locale is asked for."""
        choose_columns(("name", "locale"), config.column or "name", config.label, self.name)
        labelled = config.label is not None
        pairs = ((name, locale if labelled else "") for locale in self.locales for name in names_of(locale))
        names, labels = zip(*dict.fromkeys(pairs), strict=True)
        yield Block(list(names), range(1, len(names) + 1), list(labels) if labelled else None)


@dataclass(frozen=True)
class Docs:
    """English: the paragraphs of prose of the language reference that CPython carries for its ``help``."""

    name: str

    def identity(self) -> Identity:
        """The version of Python."""
        return ("docs", platform.python_version())

    def blocks(self, config: DataConfig) -> Iterator[Block]:
        """Each paragraph is a line, its white space single spaces."""
        choose_columns(("text",), config.column, config.label, self.name)
        try:
            from pydoc_data.topics import topics
        except ImportError as error:
            raise DataError(f"{self.name} is not in this Python: its standard library lacks pydoc_data") from error
        parts = (" ".join(part.split()) for topic in topics.values() for part in topic.split("\n\n"))
        paragraphs = dict.fromkeys(_BULLET.sub("", part) for part in parts)
        prose = [part for part in paragraphs if _PROSE.fullmatch(part) and not _CODE.search(part)]
        yield Block(prose, range(1, len(prose) + 1))


def open_text(source: str) -> Names | Docs:
    """The built-in text corpus of a source such as "builtin:names?locale=de_DE,fr_FR".

    Raises SourceError for a locale that Faker has no names for, with those that are spelled like it.
    """
    name, options = parse_builtin(source)
    if name == "docs":
        return Docs(source)
    available = locales()
    chosen = tuple(sorted(set(options["locale"].split(",")))) if "locale" in options else available
    for locale in chosen:
        if locale not in available:
            close = difflib.get_close_matches(locale, available, n=3, cutoff=0.5)
            advice = f"did you mean {', '.join(close)}?" if close else f"there are {listing(available, most=6)}"
            raise SourceError(f"{source}: no names for the locale {locale!r}: {advice}")
    return Names(source, chosen)


@cache
def locales() -> tuple[str, ...]:
    """The locales that Faker has names of people for, in order."""
    person = load_optional("faker.providers.person", "builtin:names")
    return tuple(sorted(module.name for module in iter_modules(person.__path__) if module.ispkg))


@cache
def names_of(locale: str) -> tuple[str, ...]:
    """The first and last names of a locale, each once, in order."""
    provider = load_optional(f"faker.providers.person.{locale}", "builtin:names").Provider
    found = (getattr(provider, attribute) for attribute in dir(provider) if _NAMES.match(attribute))
    # Lists, tuples, or mappings from name to frequency; a property only joins other lists.
    lists = (names for names in found if isinstance(names, Iterable))
    # A few names carry stray spaces.
    return tuple(sorted({" ".join(name.split()) for names in lists for name in names}))
