"""The verbs that train and what follows from it; nothing heavy is imported before one of them needs it."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from model.command import FILE, FOLDER, SEED_RANGE
from model.terminal import importing, visible
from training.options import complete_data, complete_figure, configuration_options


@click.command()
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
    (names, docs; points: ring, grid, mixture1d, swissroll; images: digits, stacked-digits, shapes), hf:NAME; a folder
    of images, or arrays in an .npz.
    """
    with importing("train", "this verb"):
        from training import entry
    layers = entry.layers_of(data=data, run=run if resume else None, environment=os.environ, **options)
    if dry_run:
        click.echo(entry.dry_run(layers, run if resume else None))
        return
    if code := entry.conclude(entry.train(layers, run, resume=resume, allow_changes=allow_changes)):
        sys.exit(code)


@click.command()
@click.argument("data", nargs=-1, shell_complete=complete_data)
@click.option("--search", multiple=True, required=True, metavar="KEY=LOW..HIGH[:log]|KEY=A,B,C", help="Vary a key.")
@click.option("--trials", default=20, show_default=True, type=click.IntRange(1), help="How many there shall be in all.")
@click.option("--run", type=FOLDER, required=True, help="The folder of the sweep.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configuration_options
def sweep(
    data: tuple[str, ...], search: tuple[str, ...], trials: int, run: Path, as_json: bool, **options: Any
) -> None:
    """Train on DATA again and again, and search the configuration whose strings are nearest to real ones.

    Each trial is a run in the folder's trials/.  The same command goes on with a sweep that was interrupted, or with
    one that shall have more trials.
    """
    with importing("train", "this verb"):
        from training import entry
    with importing("sweep", "this verb"):
        from training.sweep import results, study
    layers = entry.layers_of(data=data, run=None, environment=os.environ, **options)
    asked = study.Sweep(run, layers, search)
    played, signal = asked.play(trials)
    click.echo(results.conclude(asked, played, as_json=as_json))
    if signal is not None:
        click.echo(f"interrupted by signal {signal}, saved; the same command goes on", err=True)
        sys.exit(128 + signal)


@click.command()
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
    results, code = run_batch(jobs, runs, models, os.environ)
    click.echo(json.dumps(to_json(results), indent=2) if as_json else to_table(results))
    sys.exit(code)


@click.command()
@click.argument("subject", metavar="MODEL-or-RUN", type=FOLDER)
@click.option("--data", multiple=True, help="Real data.  [default: what it was trained on]")
@click.option(
    "-n",
    type=click.IntRange(2, 1_000_000),
    help="Samples in every row.  [default: 3000 strings, 2500 points, 5000 images, 26000 stacks]",
)
@click.option("--seed", default=0, show_default=True, type=SEED_RANGE, help="Seed of the samples.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(subject: Path, data: tuple[str, ...], n: int | None, seed: int, as_json: bool) -> None:
    """Print the table of scores: of text real text, Markov chains, and the model or run.

    Of a run on points with known modes, or on images with labels, which modes it reaches, beside the real data.
    """
    with importing("train", "this verb"):
        from training.appraisal import appraise
    table, warning = appraise(subject, data, n=n, seed=seed)
    if warning:
        click.echo(f"warning: {warning}", err=True)
    click.echo(json.dumps(table.to_dict(), ensure_ascii=False, indent=2) if as_json else table.plain(100))


@click.command()
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


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--near", required=True, metavar="STRING", help="The string whose neighbours are wanted.")
@click.option("--plus", multiple=True, metavar="STRING", help="Add the latent of this one; may be repeated.")
@click.option("--minus", multiple=True, metavar="STRING", help="Subtract the latent of this one; may be repeated.")
@click.option("-n", default=10, show_default=True, type=click.IntRange(1, 1000), help="At most so many strings.")
@click.option("--seed", default=0, show_default=True, type=SEED_RANGE, help="Seed of the noise about the latent.")
@click.option("--label", help="For a run with labels: of what.  [default: the most frequent]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def neighbours(
    run: Path,
    near: str,
    plus: tuple[str, ...],
    minus: tuple[str, ...],
    n: int,
    seed: int,
    label: str | None,
    as_json: bool,
) -> None:
    """Print strings near a given one in the latent space of RUN, the nearest first.

    RUN: of text, by a variant with an encoder: bigan, ali, aae or avb.  The first is what is made of the string's own
    latent, or of the sum and difference that is asked for; the others are made of it with more and more noise.
    """
    with importing("train", "this verb"):
        from training import neighbours as near_by
    found = near_by.neighbours(run, near, plus, minus, n=n, seed=seed, label=label)
    told = [{"text": each.text, "noise": each.noise} for each in found]
    lines = "\n".join(visible(each.text) for each in found)
    click.echo(json.dumps(told, ensure_ascii=False, indent=2) if as_json else lines)


@click.command()
@click.option("--page", type=FILE, help="Write this Markdown page of them, with the figures of the .json beside it.")
def variants(page: Path | None) -> None:
    """List the games that can be played."""
    with importing("train", "this verb"):
        from training.catalogue import CATALOGUE
        from training.variants_page import write_page
    if page is not None:
        write_page(page)
        return
    for entry in CATALOGUE.values():
        click.echo(f"{entry.name:17}  {', '.join(entry.kinds):22}  {entry.summary}  {entry.source}")


@click.command()
def doctor() -> None:
    """Say what this machine has, what is missing, and the command that mends it."""
    from training.doctor import examine

    findings = examine()
    for finding in findings:
        click.echo(f"{'ok     ' if finding.good else 'missing'}  {finding.name:14} {finding.detail}")
    sys.exit(0 if all(finding.good or finding.optional for finding in findings) else 1)


@click.group()
def lab() -> None:
    """Show what the theory says of these games, by runs."""


@lab.command()
@click.option("--out", type=FOLDER, default=Path("figures"), show_default=True, help="The folder of the pictures.")
@click.option(
    "--only", multiple=True, metavar="NAME", shell_complete=complete_figure, help="Draw this one; may be repeated."
)
@click.option("--seed", default=0, show_default=True, type=SEED_RANGE, help="Seed of weights and batches.")
@click.option(
    "--workers", default=lambda: min(4, os.cpu_count() or 1), show_default="processors, at most 4",
    type=click.IntRange(1, 64), help="Processes that play the runs.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="A 500th of the rounds: shows that all can be drawn, and nothing else.")
@click.option("--page", type=FILE, help="Bring the captions and numbers in this Markdown page up to date.")
def figures(out: Path, only: tuple[str, ...], seed: int, workers: int, quick: bool, page: Path | None) -> None:
    """Draw the figures of docs/laboratory.md from runs on the CPU; all take about 20 minutes.

    Writes NAME.png for each, and figures.json with what each claims and the numbers that decide.
    """
    with importing("train", "this verb"):
        from training.lab.gallery import draw_figures, refresh_page
    say = partial(click.echo, err=True)
    for name, told in draw_figures(out, only, seed=seed, quick=quick, workers=workers, say=say):
        held = sum(claim["holds"] for claim in told["claims"])
        click.echo(f"{out / name}.png  {held} of {len(told['claims'])} claims hold")
    if page is not None:
        refresh_page(page, out)
