"""The command line: one verb per job.  The only module that knows model, training and service alike.

Nothing heavy is imported before a verb needs it, so that --help answers at once.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import click

from model.command import FILE, FOLDER, SEED_RANGE, Verbs, run
from service.verbs import config, keys, serve
from training.verbs import batch, doctor, evaluate, export, lab, neighbours, sweep, train, variants


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="charwgan", prog_name="charwgan", message="%(prog)s %(version)s")
def cli() -> None:
    """Learn a file of short strings; serve as many new ones as you like."""


@cli.command()
@click.option(
    "--model",
    type=FILE,
    help="A model folder; with --url the name of one that is served there.  [default: names-tiny, which comes along]",
)
@click.option("--url", help="Let a service make them, such as http://127.0.0.1:8000.")
@click.option("--key", envvar="CHARWGAN_KEY", help="The service's key; CHARWGAN_KEY keeps it out of sight.")
@click.option("-n", default=10, show_default=True, type=click.IntRange(1), help="How many strings.")
@click.option("--seed", type=SEED_RANGE, help="Makes them repeatable.  [default: drawn, and printed]")
@click.option("--first", default=0, show_default=True, type=SEED_RANGE, help="Begin at this string of the seed.")
@click.option("--label", help="For conditional models: of what.  [default: drawn as in the training data]")
@click.option(
    "--out",
    type=FILE,
    help="A .txt, .csv, .jsonl, .parquet file; images: .png, .npz; points: .csv, .npz.  [default: stdout]",
)
@click.option("--caption", help='For models of captions: what to draw, such as "a small red circle at the top left".')
@click.option("--box", metavar="L,T,R,B", help="For models of boxes: left, top, right, bottom, from 0 to 1.")
@click.option("--pictures", type=FILE, help="For models of pairs: a .npz of what to translate, one after the other.")
@click.option("--shard", metavar="i/K", help="Only part i of K, counted from 0; needs --seed.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
def generate(
    model: Path | None,
    url: str | None,
    key: str | None,
    n: int,
    seed: int | None,
    first: int,
    label: str | None,
    out: Path | None,
    caption: str | None,
    box: str | None,
    pictures: Path | None,
    shard: str | None,
    threads: int | None,
) -> None:
    """Print new strings, or write them to a file; a model of images or of points gives those.

    With --url they are the same as from the folder of the model that is served, and come over HTTP.
    """
    import secrets

    from model.artifact import SHIPPED_MODEL
    from model.generation import Given, kind_of, part_of, samples, strings
    from model.terminal import as_shown, ending_tidily, write_lines
    from model.writing import check_suffix, write_texts
    from service import fetching

    if along := model is None and url is None:
        model = SHIPPED_MODEL
    if url is not None and threads is not None:
        raise click.UsageError("--threads does not go with --url: the service has its own")
    of_text = url is not None or model is None or kind_of(model) == "text"
    given = Given(caption, box, pictures)
    if of_text and given != Given():
        raise click.UsageError("--caption, --box and --pictures are for models of images, and this is one of text")
    if out is not None and of_text:
        check_suffix(out)
    if shard is not None and seed is None:
        raise click.UsageError("--shard needs --seed: the parts of a drawn seed would not belong together")
    first, n = part_of(shard, first, n)
    drawn = secrets.randbelow(2**53) if seed is None else seed
    if url is not None:
        slices = fetching.strings(url, key, str(model) if model else None, drawn, first, n, label)
    else:
        assert model is not None
        asked = (model, threads, drawn, first, n, label)
        slices = strings(*asked) if of_text else samples(*asked, out, given)
    if along:
        click.echo(f"from {SHIPPED_MODEL.name}, which comes with charwgan: --model takes another", err=True)
    if seed is None:
        click.echo(f"seed {drawn}", err=True)
    with ending_tidily():
        if out is not None and of_text:
            write_texts(out, slices, first)
        else:
            write_lines(map(as_shown, slices))


@cli.command()
@click.option("--model", type=FOLDER, required=True, help="A model folder.")
@click.option("--label", help="For conditional models: what the lines are scored as.")
@click.option("--json", "as_json", is_flag=True, help="Print an object a line.")
@click.argument("file", type=click.File("rb"), default="-")
def score(model: Path, file: Any, label: str | None, as_json: bool) -> None:
    """Print the critic's score of each line of FILE or standard input.

    High means realistic in the critic's eyes.  It is a score and not a probability: compare it only with other
    scores of the same model.
    """
    from model.generation import scored
    from model.terminal import write_lines

    name = "standard input" if file.name == "<stdin>" else file.name
    write_lines(scored(model, file, name, as_json=as_json, label=label))


@cli.command()
@click.argument("model", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(model: Path, as_json: bool) -> None:
    """Verify a model and say what it is."""
    from model.samples import load_model

    found = load_model(model)
    card = f"digest {found.digest}\n\n{found.card}"
    click.echo(json.dumps(found.facts(), ensure_ascii=False, indent=2) if as_json else card)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL; for bash: eval "$(charwgan completion bash)"."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    assert complete is not None
    click.echo(complete(cli, {}, "charwgan", "_CHARWGAN_COMPLETE").source())


def check_environment() -> None:
    """Refuse a CHARWGAN_ variable that is neither training's nor the service's: it would be ignored in silence."""
    from model.environment import refuse_unknown
    from service.settings import Settings
    from service.settings_sources import CONFIG, environment_name
    from training.layering import environment_names

    refuse_unknown(os.environ, {*environment_names(), *map(environment_name, (CONFIG, *Settings.model_fields))})


def checked(verb: click.Command) -> click.Command:
    """A verb that checks the environment before it does anything, since variables give it its settings."""
    do = verb.callback
    assert do is not None

    @functools.wraps(do)
    def check_and_do(**options: Any) -> None:
        check_environment()
        do(**options)

    verb.callback = check_and_do
    return verb


ASKING = (evaluate, export, neighbours, variants, lab, doctor, keys, config)
for each in (*ASKING, *map(checked, (train, sweep, batch, serve))):
    cli.add_command(each)


def main() -> None:
    """Run a verb."""
    run(cli, "charwgan")


if __name__ == "__main__":
    main()
