"""Real samples: strings, images and points, each as a ``Dataset`` that the loop draws batches from."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import ConfigurationError, SourceError
from training.data import builtin, hub
from training.data.arrays import Images, Points
from training.data.cleaning import TextSource
from training.data.corpus import Corpus, open_corpus
from training.data.lines import TextFile
from training.data.npz import open_npz
from training.data.pairs import paired
from training.data.pictures import SUFFIXES, holds_images, open_folder
from training.data.sources import find_files, split_name
from training.data.stacks import stacked
from training.data.storage import cache_folder
from training.data.toys import open_builtin_array

if TYPE_CHECKING:
    from training.configuration import DataConfig

__all__ = ["Corpus", "Images", "Points", "open_dataset"]

MOST_CHANNELS = 256  # labels of points and images, each a channel of what a critic takes


def open_dataset(config: DataConfig, cache: Path | None = None) -> Corpus | Points | Images:
    """The data that the configuration names: texts, or one source of points or images.

    cache: where prepared texts are kept, the user's cache folder if None.
    Raises ConfigurationError if no source is named or kinds are mixed, DataError if a source cannot be used,
    MissingDependencyError if it needs a package that is not installed.
    """
    if not config.sources:
        raise ConfigurationError("data.sources names nothing to learn from: give a file, a glob, builtin:names or -")
    arrays = [source for source in config.sources if _is_array(source, config)]
    if not arrays:
        _check_text(config)
        return _open_texts(config, cache or cache_folder())
    if len(config.sources) > 1:
        raise ConfigurationError(
            f"points and images come from one source, and {arrays[0]} is one of {len(config.sources)}: name it alone"
        )
    found = _open_array(arrays[0], config)
    if isinstance(found, Points) and (config.stack or config.image_size is not None):
        raise ConfigurationError(f"data.stack and data.image_size are for images, and {arrays[0]} is points")
    if config.boxes and not found.captions:
        raise ConfigurationError(f"data.boxes needs captions, and {arrays[0]} has none: builtin:shapes has them")
    if isinstance(found, Images) and config.stack:
        found = stacked(found, config)
    if config.pair:
        return paired(found, arrays[0], config)
    return _conditioned(found, arrays[0]) if config.condition else found


def _check_text(config: DataConfig) -> None:
    """Raises ConfigurationError for keys that are not for text."""
    if config.stack or config.image_size is not None:
        raise ConfigurationError("data.stack and data.image_size are for images, and this data is text")
    if config.boxes:
        raise ConfigurationError("data.boxes needs captions of images, and this data is text: leave it out")
    if config.pair:
        raise ConfigurationError(f"data.pair = {config.pair} makes pictures of images, and this data is text")
    if config.condition and config.label is None:
        raise ConfigurationError("data.condition needs labels, and of text it is data.label that says where they are")


def _conditioned(data: Points | Images, source: str) -> Points | Images:
    """The same, learned under its labels.  Raises ConfigurationError if it has none, or too many to be channels."""
    if not data.label_names:
        raise ConfigurationError(f"data.condition needs labels, and {source} has none: name their array by data.label")
    if len(data.label_names) > MOST_CHANNELS:
        raise ConfigurationError(
            f"data.condition takes at most {MOST_CHANNELS} labels, got {len(data.label_names)}: leave it out"
        )
    return replace(data, conditioned=True)


def _open_array(source: str, config: DataConfig) -> Points | Images:
    if source.startswith(builtin.PREFIX):
        return open_builtin_array(source, config)
    return open_folder(source, config) if holds_images(source) else open_npz(source, config)


def _is_array(source: str, config: DataConfig) -> bool:
    if source.startswith(builtin.PREFIX):
        return builtin.parse_builtin(source)[0] not in builtin.TEXTS
    if source.startswith(hub.PREFIX) or source == "-":
        return False
    if config.format == "auto" and source.lower().endswith(SUFFIXES):
        raise SourceError(f"{source} is one image: name the folder that holds the images")
    return config.format == "npz" or (
        config.format == "auto" and (split_name(source)[0] == "npz" or holds_images(source))
    )


def _open_texts(config: DataConfig, root: Path) -> Corpus:
    with ExitStack() as stack:
        sources: list[TextSource] = []
        for source in config.sources:
            if source.startswith(builtin.PREFIX):
                sources.append(builtin.open_text(source))
            elif source.startswith(hub.PREFIX):
                sources.append(hub.open_hub(source))
            else:
                sources += [TextFile(file) for file in find_files(source, config.format, stack)]
        return open_corpus(sources, config, root)
