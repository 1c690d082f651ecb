"""The options of the verbs that train, and what a shell completes in them; nothing heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

# Of the laboratory, in their order.
FIGURES = (
    "fields", "eigenvalues", "rules", "momentum", "dirac-gan", "autoencoder", "layers", "level-sets", "robustness",
    "race", "generators",
)  # fmt: skip
BUILTIN = "builtin:"
CATALOGUE = Path(__file__).with_name("catalogue")
ENTRY = re.compile(r"^@variant\(.*?^def (\w+)\(", re.MULTILINE | re.DOTALL)


def complete_data(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, and the built-in data; bash takes what stands behind the colon for a word of its own."""
    from training.data.builtin import IMAGES, POINTS, TEXTS

    names = (*TEXTS, *POINTS, *IMAGES)
    before = tuple(context.params.get("data") or ())
    if before[-1:] == ("builtin",) and incomplete == ":":
        return [CompletionItem(name) for name in names]
    if before[-2:] == ("builtin", ":"):
        return _starting(names, incomplete)
    found = _starting(tuple(BUILTIN + name for name in names), incomplete)
    return found if incomplete.startswith(BUILTIN) else [*found, CompletionItem(incomplete, type="file")]


def complete_variant(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of the games, read in the catalogue's text: to ask it would import torch."""
    texts = (path.read_text() for path in sorted(CATALOGUE.glob("*.py")))
    names = tuple(name.replace("_", "-") for text in texts for name in ENTRY.findall(text))
    return _starting(names, incomplete)


def complete_figure(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of the laboratory's figures."""
    return _starting(FIGURES, incomplete)


def complete_assignment(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The keys of the configuration, each with its equals sign."""
    from training.layering import keys

    return [CompletionItem(f"{key}=", help=told) for key, told in keys().items() if key.startswith(incomplete)]


def _starting(names: tuple[str, ...], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def configuration_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that set keys of the configuration, for every verb that takes one."""
    for option in (
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            shell_complete=complete_assignment,
            help="Set any key; may be repeated.",
        ),
        click.option("--config", type=click.Path(path_type=Path), help="A job file, TOML."),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to train."),
        click.option("--seed", type=click.IntRange(0), help="Seed of weights, latents and batches."),
        click.option("--max-rounds", type=click.IntRange(1), help="Stop after this many rounds."),
        click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="Stop after this training time."),
        click.option(
            "--variant",
            shell_complete=complete_variant,
            help="Which game is played; `charwgan variants` lists them.  [default: wgan-gp]",
        ),
        click.option("--preset", type=click.Choice(["tiny", "small", "base", "paper"]), help="Named settings."),
    ):
        command = option(command)
    return command
