"""The command line: one verb per job.  The only module that knows model, training and service alike.

Nothing heavy is imported before a verb needs it, so that --help answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from model.command import Verbs, run
from model.terminal import importing
from service.options import FILE, FOLDER, settings_options
from training.options import complete_data, configuration_options

SEED_RANGE = click.IntRange(0, 2**53 - 1)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="charwgan", prog_name="charwgan", message="%(prog)s %(version)s")
def cli() -> None:
    """Learn a file of short strings; serve as many new ones as you like."""


@cli.command()
@click.argument("data", nargs=-1, shell_complete=complete_data)
@click.option("--run", type=FOLDER, help="The folder of the run.  [default: runs/NAME-OF-THE-DATA]")
@click.option("--resume", is_flag=True, help="Continue the run in that folder.")
@click.option("--allow-changes", is_flag=True, help="Continue although the configuration differs.")
@click.option("--dry-run", is_flag=True, help="Print every key, its value and origin, and what the data is; then stop.")
@configuration_options
def train(
    data: tuple[str, ...], run: Path | None, resume: bool, allow_changes: bool, dry_run: bool, **options: Any
) -> None:
    """Train on DATA, or continue a run.

    DATA: files of lines, csv, tsv, jsonl or parquet (also .gz, .zst), globs, - for standard input, builtin:NAME
    (names, docs, digits, ring, grid, swissroll) or hf:NAME.
    """
    with importing("train", "this verb"):
        from training import entry
    check_environment()
    layers = entry.layers_of(data=data, run=run if resume else None, environment=os.environ, **options)
    if dry_run:
        click.echo(entry.dry_run(layers, run if resume else None))
        return
    outcome = entry.train(layers, run, resume=resume, allow_changes=allow_changes)
    if outcome.signal is not None:
        click.echo(entry.interruption(outcome), err=True)
        sys.exit(128 + outcome.signal)
    click.echo(entry.summary(outcome))


@cli.command()
@click.argument("jobs", nargs=-1, required=True, type=FILE)
@click.option("--runs", type=FOLDER, default=Path("runs"), show_default=True, help="Where the runs are kept.")
@click.option("--models", type=FOLDER, default=Path("models"), show_default=True, help="Where models are exported to.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def batch(jobs: tuple[Path, ...], runs: Path, models: Path, as_json: bool) -> None:
    """Train JOBS, TOML files, one after the other.

    Finished ones are skipped, interrupted ones resumed, and a failed one does not stop the rest.  Each result is
    exported to the models folder under the name of its job file.  The exit code is 1 if a job failed.
    """
    with importing("train", "this verb"):
        from training.batch import run_batch, to_json, to_table
    check_environment()
    results, code = run_batch(jobs, runs, models, os.environ)
    click.echo(json.dumps(to_json(results), indent=2) if as_json else to_table(results))
    sys.exit(code)


@cli.command()
@click.argument("subject", metavar="MODEL-or-RUN", type=FOLDER)
@click.option("--data", multiple=True, help="Real text.  [default: what it was trained on]")
@click.option("-n", default=3000, show_default=True, type=click.IntRange(2, 1_000_000), help="Strings in every row.")
@click.option("--seed", default=0, show_default=True, type=SEED_RANGE, help="Seed of the strings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(subject: Path, data: tuple[str, ...], n: int, seed: int, as_json: bool) -> None:
    """Print the table of scores: real text, Markov chains, and the model or run."""
    with importing("train", "this verb"):
        from training.appraisal import appraise
    table, warning = appraise(subject, data, n=n, seed=seed)
    if warning:
        click.echo(f"warning: {warning}", err=True)
    click.echo(json.dumps(table.to_dict(), ensure_ascii=False, indent=2) if as_json else table.plain(100))


@cli.command()
@click.argument("run", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="The model's folder.")
@click.option("--replace", is_flag=True, help="Replace a model that is there already.")
@click.option(
    "--int8/--no-int8",
    default=None,
    help="Add a graph in 8-bit integers, and measure what it changes.  [default: as the model that is replaced]",
)
@click.option("--int8-samples", type=click.IntRange(1, 1_000_000), help="Strings to measure it by.  [default: 5000]")
def export(run: Path, out: Path, replace: bool, int8: bool | None, int8_samples: int | None) -> None:
    """Make a model of RUN: safetensors, ONNX, tokenizer, scores and card in one folder."""
    with importing("train", "this verb"):
        from training.export import export_run
        from training.quantize import SAMPLES, samples_of
    if int8_samples is not None and not int8:
        raise click.UsageError("--int8-samples needs --int8")
    samples = (int8_samples or SAMPLES) if int8 else None
    if int8 is None and replace and (samples := samples_of(out)) is not None:
        click.echo(f"{out} has a graph in 8-bit integers, and gets one again: --no-int8 leaves it out", err=True)
    digest = export_run(run, out, replace=replace, int8_samples=samples)
    click.echo(f"{out}  {digest}")


@cli.command()
def variants() -> None:
    """List the games that can be played."""
    with importing("train", "this verb"):
        from training.catalogue import CATALOGUE
    for entry in CATALOGUE.values():
        click.echo(f"{entry.name:10}  {', '.join(entry.kinds):22}  {entry.summary}  {entry.source}")


@cli.command()
@click.option("--model", type=FILE, help="A model folder; with --url the name of a model that is served there.")
@click.option("--url", help="Let a service make them, such as http://127.0.0.1:8000.")
@click.option("--key", envvar="CHARWGAN_KEY", help="The service's key; CHARWGAN_KEY keeps it out of sight.")
@click.option("-n", default=10, show_default=True, type=click.IntRange(1), help="How many strings.")
@click.option("--seed", type=SEED_RANGE, help="Makes them repeatable.  [default: drawn, and printed]")
@click.option("--first", default=0, show_default=True, type=SEED_RANGE, help="Begin at this string of the seed.")
@click.option("--label", help="For conditional models: of what.  [default: drawn as in the training data]")
@click.option("--out", type=FILE, help="A .txt, .csv, .jsonl or .parquet file.  [default: standard output]")
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
    shard: str | None,
    threads: int | None,
) -> None:
    """Print new strings, or write them to a file.

    With --url they are the same as from the folder of the model that is served, and come over HTTP.
    """
    import secrets

    from model.generation import part_of, strings
    from model.terminal import as_shown, ending_tidily, write_lines
    from model.writing import check_suffix, write_texts
    from service import fetching

    if model is None and url is None:
        raise click.UsageError("where from? give --model, a model folder, or --url, a service")
    if url is not None and threads is not None:
        raise click.UsageError("--threads does not go with --url: the service has its own")
    if out is not None:
        check_suffix(out)
    if shard is not None and seed is None:
        raise click.UsageError("--shard needs --seed: the parts of a drawn seed would not belong together")
    first, n = part_of(shard, first, n)
    drawn = secrets.randbelow(2**53) if seed is None else seed
    if url is not None:
        slices = fetching.strings(url, key, str(model) if model else None, drawn, first, n, label)
    else:
        assert model is not None
        slices = strings(model, threads, drawn, first, n, label)
    if seed is None:
        click.echo(f"seed {drawn}", err=True)
    with ending_tidily():
        if out is not None:
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
@settings_options
def serve(assignments: tuple[str, ...], **flags: Any) -> None:
    """Serve models over HTTP until interrupted."""
    from service.server import serve as serve_forever
    from service.settings_sources import parse_assignments, resolve

    check_environment()
    serve_forever(resolve(flags | parse_assignments(assignments), os.environ))


@cli.group()
def keys() -> None:
    """Who may ask the service."""


@keys.command()
@click.argument("name")
def new(name: str) -> None:
    """Draw a key for NAME: the key to standard error, once, and its line for the file of keys to standard output."""
    from service.security import issue

    key, line = issue(name)
    click.echo(f"key {key}", err=True)
    click.echo(line)


@cli.group()
def config() -> None:
    """How the service is configured."""


@config.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool, assignments: tuple[str, ...], **flags: Any) -> None:
    """Print every setting of the service, its value and origin, as `serve` would have them; secrets are masked."""
    from service.settings_listing import listing, passed_over, to_text
    from service.settings_sources import parse_assignments

    rows = listing(flags | parse_assignments(assignments), os.environ)
    click.echo(json.dumps(rows, ensure_ascii=False, indent=2) if as_json else to_text(rows))
    if names := passed_over(os.environ):
        click.echo(f"passed over, for they are no settings of the service: {', '.join(names)}", err=True)


@cli.command()
@click.argument("model", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(model: Path, as_json: bool) -> None:
    """Verify a model and say what it is."""
    from model.artifact import Artifact

    artifact = Artifact.load(model)
    card = f"digest {artifact.digest}\n\n{artifact.card}"
    click.echo(json.dumps(artifact.facts(), ensure_ascii=False, indent=2) if as_json else card)


@cli.command()
def doctor() -> None:
    """Say what this machine has, what is missing, and the command that mends it."""
    from training.doctor import examine

    findings = examine()
    for finding in findings:
        click.echo(f"{'ok     ' if finding.good else 'missing'}  {finding.name:14} {finding.detail}")
    sys.exit(0 if all(finding.good or finding.optional for finding in findings) else 1)


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
    from training.configuration import environment_names

    refuse_unknown(os.environ, {*environment_names(), *map(environment_name, (CONFIG, *Settings.model_fields))})


def main() -> None:
    """Run a verb."""
    run(cli, "charwgan")


if __name__ == "__main__":
    main()
