"""All figures: drawn one by one into a folder, each whole or not at all, with what they claim in figures.json."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch

from model.errors import ConfigurationError, RunError
from training.lab import (
    convergence,  # noqa: F401
    denoising,  # noqa: F401
    depth,  # noqa: F401
    eigenvalues,  # noqa: F401
    fields,  # noqa: F401
    generators,  # noqa: F401
    level_sets,  # noqa: F401
    race,  # noqa: F401
    robustness,  # noqa: F401
    trajectories,  # noqa: F401
)
from training.lab.figure import FIGURES, Drawn, Entry, Lab, Say, rounded, silent
from training.lab.style import STYLE
from training.options import FIGURES as NAMES
from training.runs import read_json, write_json, write_whole, writing

NUMBERS = "figures.json"
_BLOCK = re.compile(r"<!-- figure: ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL)


def draw_figures(
    out: Path, names: Sequence[str] = (), *, seed: int = 0, quick: bool = False, workers: int = 1, say: Say = silent
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Draw figures into a folder; yields the name of each with its entry of figures.json, as soon as both are written.

    names: which; all if empty.  What the folder has of other figures stays.  workers: processes.
    Raises ConfigurationError for a name that there is no figure of, RunError if the disk refuses.
    """
    if unknown := [name for name in names if name not in NAMES]:
        raise ConfigurationError(f"there is no figure {unknown[0]!r}: there are {', '.join(NAMES)}")
    chosen = [FIGURES[name] for name in NAMES if not names or name in names]
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with one_thread(), pool(workers) as processes:
        for number, entry in enumerate(chosen, 1):
            place = f"{number}/{len(chosen)} {entry.name}"
            say(place)
            started = time.perf_counter()
            lab = Lab(seed, quick, partial(_say_of, say, place), processes)
            with mpl.rc_context(STYLE):
                drawn = entry.draw(lab)
                write_whole(out / f"{entry.name}.png", png(drawn))
            told = described(entry, drawn, seed=seed, quick=quick)
            write_json(out / NUMBERS, _in_order({**_numbers(out), entry.name: told}))
            say(f"{place}: {time.perf_counter() - started:.0f} s")
            yield entry.name, told


def _say_of(say: Say, place: str, message: str) -> None:
    say(f"{place}: {message}")


@contextmanager
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads, and the more so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def pool(workers: int) -> Iterator[Executor | None]:
    """So many processes with one thread each, or none where one is enough.  Ctrl-C ends them at once."""
    if workers == 1:
        yield None
        return
    processes = ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,))
    try:
        yield processes
    except BaseException:
        for process in list(processes._processes.values()):
            process.terminate()
        raise
    finally:
        processes.shutdown(cancel_futures=True)


def png(drawn: Drawn) -> bytes:
    """The picture, the same bytes for the same lines."""
    buffer = io.BytesIO()
    drawn.figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def described(entry: Entry, drawn: Drawn, *, seed: int, quick: bool) -> dict[str, Any]:
    """What figures.json says of a figure."""
    return {
        "title": entry.title,
        "source": entry.source,
        "caption": drawn.caption,
        "claims": [claim.to_dict() for claim in drawn.claims],
        "numbers": {name: rounded(value) for name, value in drawn.numbers.items()},
        "seed": seed,
        "quick": quick,
    }


def block(name: str, told: dict[str, Any], folder: str) -> str:
    """What a page shows of a figure, between its marks; folder: of the pictures, as the page links to it."""
    lines = [f"<!-- figure: {name} -->", f"![{told['title']}]({folder}/{name}.png)", "", told["caption"], ""]
    lines += ["| claim | what decides it | number | must be | |", "|---|---|---|---|---|"]
    for claim in told["claims"]:
        verdict = "holds" if claim["holds"] else "**does not hold**"
        value = "none" if claim["value"] is None else f"{claim['value']:g}"
        cells = claim["claim"], _cell(claim["measure"]), value, claim["must be"], verdict
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"Source: {told['source']}.", "<!-- end -->"])


def refresh(page: str, numbers: dict[str, Any], folder: str) -> str:
    """A page with every block of a figure as figures.json now has it.  Raises ConfigurationError for quick ones."""
    if hasty := [name for name, told in numbers.items() if told["quick"]]:
        raise ConfigurationError(
            f"a page shows full runs, and {hasty[0]} was drawn with --quick: draw it again without"
        )

    def again(found: re.Match[str]) -> str:
        name = found[1]
        return block(name, numbers[name], folder) if name in numbers else found[0]

    return _BLOCK.sub(again, page)


def refresh_page(page: Path, out: Path) -> None:
    """``refresh`` a page in its place, with the figures of a folder.

    Raises RunError if it cannot be read or written.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot read {page}: {error.strerror}") from error
    folder = os.path.relpath(out, page.parent)
    write_whole(page, refresh(text, read_json(out / NUMBERS), folder).encode())


def _cell(text: str) -> str:
    """Text for a cell of a table, where a bar would end it."""
    return text.replace("|", "\\|")


def _numbers(out: Path) -> dict[str, Any]:
    path = out / NUMBERS
    return read_json(path) if path.is_file() else {}


def _in_order(numbers: dict[str, Any]) -> dict[str, Any]:
    return {name: numbers[name] for name in NAMES if name in numbers}
