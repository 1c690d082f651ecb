"""The command line: one verb per job.  The only module that knows model, training and service alike.

Nothing heavy is imported before a verb needs it, so that --help answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path)
SEED_RANGE = click.IntRange(0, 2**53 - 1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="charwgan", prog_name="charwgan", message="%(prog)s %(version)s")
def cli() -> None:
    """Learn a file of short strings; serve as many new ones as you like."""


def configuration_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that set keys of the configuration, for every verb that takes one."""
    for option in (
        click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set any key; may be repeated."),
        click.option("--config", type=FILE, help="A job file, TOML."),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to train."),
        click.option("--seed", type=click.IntRange(0), help="Seed of weights, latents and batches."),
        click.option("--max-rounds", type=click.IntRange(1), help="Stop after this many rounds."),
        click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="Stop after this training time."),
        click.option("--variant", help="Which game is played; `charwgan variants` lists them.  [default: wgan-gp]"),
        click.option("--preset", type=click.Choice(["tiny", "small", "base", "paper"]), help="Named settings."),
    ):
        command = option(command)
    return command


@cli.command()
@click.argument("data", nargs=-1)
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
    with training_packages():
        from training import entry
    layers = entry.layers_of(data=data, run=run if resume else None, environment=os.environ, **options)
    if dry_run:
        click.echo(entry.dry_run(layers))
        return
    outcome = entry.train(layers, run, resume=resume, allow_changes=allow_changes)
    if outcome.signal is not None:
        again = f"charwgan train --run {outcome.run} --resume"
        click.echo(f"interrupted at round {outcome.round}, saved; continue with: {again}", err=True)
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
    with training_packages():
        from training.batch import run_batch, to_json, to_table
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
    with training_packages():
        from training.appraisal import appraise
    table, warning = appraise(subject, data, n=n, seed=seed)
    if warning:
        click.echo(f"warning: {warning}", err=True)
    click.echo(json.dumps(table.to_dict(), ensure_ascii=False, indent=2) if as_json else table.plain(100))


@cli.command()
@click.argument("run", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="The model's folder.")
@click.option("--replace", is_flag=True, help="Replace a model that is there already.")
def export(run: Path, out: Path, replace: bool) -> None:
    """Make a model of RUN: safetensors, ONNX, tokenizer, scores and card in one folder."""
    with training_packages():
        from training.export import export_run
    digest = export_run(run, out, replace=replace)
    click.echo(f"{out}  {digest}")


@cli.command()
def variants() -> None:
    """List the games that can be played."""
    with training_packages():
        from training.catalogue import CATALOGUE
    for entry in CATALOGUE.values():
        click.echo(f"{entry.name:10}  {', '.join(entry.kinds):22}  {entry.summary}  {entry.source}")


@cli.command()
@click.option("--model", type=FOLDER, required=True, help="A model folder.")
@click.option("-n", default=10, show_default=True, type=click.IntRange(1), help="How many strings.")
@click.option("--seed", type=SEED_RANGE, help="Makes them repeatable.  [default: drawn, and printed]")
@click.option("--first", default=0, show_default=True, type=click.IntRange(0), help="Begin at this string of the seed.")
@click.option("--out", type=FILE, help="A .txt, .csv, .jsonl or .parquet file.  [default: standard output]")
@click.option("--shard", metavar="i/K", help="Only part i of K, counted from 0; needs --seed.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
def generate(
    model: Path, n: int, seed: int | None, first: int, out: Path | None, shard: str | None, threads: int | None
) -> None:
    """Print new strings, or write them to a file."""
    import secrets

    from model.artifact import Artifact
    from model.sampler import Sampler
    from model.writing import check_suffix, write_texts

    if out is not None:
        check_suffix(out)
    if shard is not None:
        if seed is None:
            raise click.UsageError("--shard needs --seed: the parts of a drawn seed would not belong together")
        first, n = _part(shard, first, n)
    if seed is None:
        seed = secrets.randbelow(2**53)
        click.echo(f"seed {seed}", err=True)
    slices = Sampler(Artifact.load(model), threads).stream(seed, first, n)
    if out is not None:
        write_texts(out, slices, first)
        return
    with until_the_reader_leaves():
        for texts in slices:
            sys.stdout.write("".join(text + "\n" for text in texts))


def _part(shard: str, first: int, n: int) -> tuple[int, int]:
    """First string and number of strings of part i of K."""
    number, slash, count = shard.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        raise click.UsageError(f"--shard takes i/K with i from 0 to K - 1, such as 0/4, got {shard!r}")
    i, k = int(number), int(count)
    start, end = n * i // k, n * (i + 1) // k
    return first + start, end - start


@cli.command()
@click.option("--model", type=FOLDER, required=True, help="A model folder.")
@click.option("--json", "as_json", is_flag=True, help="Print an object a line.")
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
def score(model: Path, file: Any, as_json: bool) -> None:
    """Print the critic's score of each line of FILE or standard input.

    High means realistic in the critic's eyes.  It is a score and not a probability: compare it only with other
    scores of the same model.
    """
    from model.artifact import Artifact
    from model.sampler import Scorer

    scorer = Scorer(Artifact.load(model))
    with until_the_reader_leaves():
        for texts in _lines(file):
            for text, value in zip(texts, scorer.scores(texts).tolist(), strict=True):
                row = {"text": text, "score": value}
                sys.stdout.write((json.dumps(row, ensure_ascii=False) if as_json else f"{value:.6f}\t{text}") + "\n")


def _lines(file: Any, size: int = 256) -> Iterator[list[str]]:
    texts: list[str] = []
    try:
        for line in file:
            texts.append(line.rstrip("\r\n"))
            if len(texts) == size:
                yield texts
                texts = []
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file.name} is not UTF-8: {error.reason} at byte {error.start}") from None
    if texts:
        yield texts


@cli.command()
@click.option("--model", type=FOLDER, help="A model folder.")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 8000]")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of the network.")
def serve(**flags: Any) -> None:
    """Serve a model over HTTP until interrupted."""
    from service.server import serve as serve_forever
    from service.settings import resolve

    serve_forever(resolve({key: value for key, value in flags.items() if value is not None}, os.environ))


@cli.command()
@click.argument("model", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(model: Path, as_json: bool) -> None:
    """Verify a model and say what it is."""
    from model.artifact import Artifact

    artifact = Artifact.load(model)
    facts = {
        "name": artifact.name,
        "digest": artifact.digest,
        "alphabet": artifact.alphabet.characters,
        "config": artifact.config,
        "metrics": artifact.metrics,
    }
    card = (artifact.path / "README.md").read_text(encoding="utf-8")
    click.echo(json.dumps(facts, ensure_ascii=False, indent=2) if as_json else f"digest {artifact.digest}\n\n{card}")


@cli.command()
def doctor() -> None:
    """Say what this machine has, what is missing, and the command that mends it."""
    from model.doctor import examine

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


@contextmanager
def training_packages() -> Iterator[None]:
    """Around the import of training: says what to install where a machine only serves."""
    from model.errors import MissingDependencyError

    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("training", "model", "service"):
            raise
        raise MissingDependencyError(
            f"this verb needs {error.name}, which is not installed: pip install 'charwgan[train]'"
        ) from error


@contextmanager
def until_the_reader_leaves() -> Iterator[None]:
    """Around writing to standard output: `charwgan generate ... | head` has what it wanted, and that is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run a verb; every error that a user can cause is one line on standard error, wrong use exits 2."""
    from model.errors import CharwganError

    try:
        code = cli.main(prog_name="charwgan", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else str(error))
        code = 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        click.echo(f"{context.command_path if context else 'charwgan'}: {_one_line(error.format_message())}", err=True)
        code = error.exit_code
    except CharwganError as error:
        click.echo(f"charwgan: {_one_line(str(error))}", err=True)
        code = error.exit_code
    except click.Abort:
        code = 130
    sys.exit(code)


def _one_line(message: str) -> str:
    return " ".join(message.split())


if __name__ == "__main__":
    main()
