"""The page: one HTML file that needs nothing else, in which whatever came from the data is inert text."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluation import layout
from training.evaluation.mode_table import ModeTable
from training.evaluation.table import ScoreTable
from training.layering import flatten
from training.report.figures import bar_figure, line_figure
from training.report.read import Curve, Run, read_run
from training.runs import INTERPOLATION, RECONSTRUCTIONS, SPEED, write_whole

Table = ScoreTable | ModeTable
STRINGS = 16
# Keys of the log that are clocks, told in the summary and not drawn.
CLOCKS = ("seconds", "cpu_seconds")
FLOOR = "_floor"
LATENTS = {INTERPOLATION: "Between latents", RECONSTRUCTIONS: "Reconstructions"}
TOLD = {
    INTERPOLATION: "what is made on the arc from one latent to another",
    RECONSTRUCTIONS: "held out, and what is made of their codes",
}

# Nothing may be fetched or run, so that even markup that slipped through would stay inert.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
CSS = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; --back: #fff; --ink: #1c1e21; --mark: #3b82f6; }
@media (prefers-color-scheme: dark) { :root { --back: #15171a; --ink: #e4e6e9; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
       max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p.soft, figcaption, li.soft { color: var(--soft); font-size: .88rem; } li.soft { margin-left: -1rem; }
.problems { border-left: 3px solid #e0a000; padding: .2rem .8rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem; }
.wide { overflow-x: auto; }
figure { margin: 0; } figcaption { text-align: center; } svg.figure { width: 100%; height: auto; }
img { max-width: 100%; image-rendering: pixelated; background: #fff; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; }
th, td { padding: .18rem .55rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { white-space: pre-line; } td.number, th.number { text-align: right; }
tr.model td, tr.model th { font-weight: 600; color: var(--mark); }
td.text { font-family: ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.empty { color: var(--soft); } summary { cursor: pointer; }
"""
# Control characters are shown as their pictures, so that none disturbs the page.
CONTROLS = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}


def write_report(run: Path) -> Path:
    """Write ``run/report.html`` from what the run's folder holds so far, and return its path.

    Missing or unreadable parts are left out, and said so on the page.  An older report is replaced at once.
    Raises RunError if there is no such folder, or if the disk refuses.
    """
    path = run / "report.html"
    # A string read from JSON may hold a lone surrogate, which UTF-8 has no bytes for.
    write_whole(path, _page(read_run(run)).encode("utf-8", errors="replace"))
    return path


def _page(run: Run) -> str:
    sections = [
        _problems([*run.problems, *_alarms(run)]),
        _scores(run.table),
        _curves(run.curves),
        _samples(run),
        *(_latents(run, name, heading) for name, heading in LATENTS.items()),
        _examples(run.table),
        _histograms(run.table),
        _settings("Data", run.data),
        _settings("Configuration", run.config),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{_safe(run.name)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width"><style>{CSS}</style></head>\n<body>'
        f'<h1>{_safe(run.name)}</h1><p class="soft">{_summary(run)}</p>\n' + "\n".join(sections) + "</body></html>\n"
    )


def _safe(value: Any) -> str:
    """The value as text that means nothing to HTML."""
    return html.escape(str(value).translate(CONTROLS))


def _summary(run: Run) -> str:
    facts = [f"variant {_safe(run.config['variant'])}"] if "variant" in run.config else []
    last = {key: curve.values[-1] for key, curve in run.curves.items()}
    if run.curves:
        facts.append(f"{max(curve.rounds[-1] for curve in run.curves.values()):,.0f} rounds")
    for key, unit in {"seconds": "s", "cpu_seconds": "CPU-s", SPEED: "samples/s at the end"}.items():
        if key in last:
            facts.append(f"{last[key]:,.0f} {unit}")
    return ", ".join(facts) or "nothing was logged yet"


def _problems(problems: Sequence[str]) -> str:
    items = "".join(f"<li>{_safe(problem)}</li>" for problem in problems)
    return f'<ul class="problems">{items}</ul>' if items else ""


def _alarms(run: Run) -> list[str]:
    """What the looks at the samples warned of, in one line: how often, and the last."""
    if not run.alarms:
        return []
    number, warning = run.alarms[-1]
    now = "and still at the last look" if number == run.last_look else f"not any more at round {run.last_look}"
    return [f"alarms: {len(run.alarms)}, the last at round {number}, {now}: {warning}"]


def _table(heads: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """A table of finished <th> and <td>; each row comes with its class."""
    body = "".join(f'<tr class="{kind}">{"".join(cells)}</tr>' for kind, cells in rows)
    return f'<div class="wide"><table><thead><tr>{"".join(heads)}</tr></thead><tbody>{body}</tbody></table></div>'


def _scores(table: Table | None) -> str:
    if table is None:
        return ""
    columns, told = table.columns, table.definitions
    heads = [f'<th class="number" title="{_safe(told[k])}">{_safe_lines(h)}</th>' for k, h in columns.items()]
    rows = []
    for row in table.rows:
        cells = [f'<td class="number">{layout.figure(row.scores.get(key))}</td>' for key in columns]
        plain = row.name == "real" or row.name.startswith("Markov ")
        seed = "" if row.seed is None else f' title="seed {_safe(", ".join(map(str, row.seed)))}"'
        rows.append(("" if plain else "model", [f"<th{seed}>{_safe(row.name)}</th>", *cells]))
    notes = "".join(f'<li class="soft">{_safe(note)}</li>' for note in table.notes())
    return f"<h2>Scores</h2>{_table(['<th></th>', *heads], rows)}<ul>{notes}</ul>"


def _safe_lines(heading: str) -> str:
    return "<br>".join(map(_safe, heading.split("\n")))


def _curves(curves: Mapping[str, Curve]) -> str:
    """The scores, JS-4 before the others, then every other figure of the log but the clocks."""
    keys = sorted(key for key in curves if key not in CLOCKS and _owner(key) not in curves)
    scores = sorted((key for key in keys if key.startswith("score/")), key=lambda key: key != "score/js4")
    out = ""
    for title, group in {"Scores": scores, "Terms": [key for key in keys if key not in scores]}.items():
        figures = "".join(_curve_figure(curves, key) for key in group)
        out += f'<h2>{title} against rounds</h2><div class="grid">{figures}</div>' if figures else ""
    return out


def _owner(key: str) -> str | None:
    """The score that a floor is drawn with, score/js4 of score/js4_floor; None for anything else."""
    return key.removesuffix(FLOOR) if key.endswith(FLOOR) else None


def _curve_figure(curves: Mapping[str, Curve], key: str) -> str:
    drawn = {"model": curves[key]}
    if key + FLOOR in curves:
        drawn["real"] = curves[key + FLOOR]
    svg = line_figure(drawn, f"{key} against rounds")
    return f"<figure><figcaption>{_safe(key.removeprefix('score/'))}</figcaption>{svg}</figure>"


def _samples(run: Run) -> str:
    out = ""
    if run.texts:
        heads = [f"<th>round {number:,}</th>" for number, _ in run.texts]
        columns = [strings[:STRINGS] for _, strings in run.texts]
        height = max(map(len, columns))
        rows = [("", [_text_cell(column[i]) if i < len(column) else "<td></td>" for column in columns])
                for i in range(height)]  # fmt: skip
        out += f'<p class="soft">Each row is one latent.</p>{_table(heads, rows)}'
    if run.pictures:
        figures = "".join(
            f"<figure>{_picture(png, 'samples')}<figcaption>round {number:,}</figcaption></figure>"
            for number, png in run.pictures
        )
        out += f'<div class="grid">{figures}</div>'
    return f"<h2>Samples over time</h2>{out}" if out else ""


def _latents(run: Run, name: str, heading: str) -> str:
    """What the last look kept of the latents in the folder of that name."""
    if name not in run.latents:
        return ""
    number, kept = run.latents[name]
    title, told = f"<h2>{heading}</h2>", f"{TOLD[name]}, round {number:,}"
    if isinstance(kept, bytes):
        return f"{title}<figure>{_picture(kept, name)}<figcaption>{told}</figcaption></figure>"
    return title + _table([f"<th>{told}</th>"], [("", [_text_cell(line)]) for line in kept])


def _picture(png: bytes, told: str) -> str:
    return f'<img alt="{told}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _text_cell(text: Any) -> str:
    # <bdi>: a string written from right to left must not turn its neighbours around.
    return f'<td class="text"><bdi>{_safe(text)}</bdi></td>' if text else '<td class="empty">(empty)</td>'


def _examples(table: Table | None) -> str:
    if table is None or not table.examples:
        return ""
    real, generated = table.examples.get("real", []), table.examples.get("generated", [])
    pairs = [("", map(_text_cell, pair)) for pair in zip(real, generated, strict=False)]
    near = [("", [_text_cell(pair["sample"]), _text_cell(pair["training"]), f"<td>{pair['similarity']:.2f}</td>"])
            for pair in table.examples.get("nearest", [])]  # fmt: skip
    out = f"<h2>Real and generated</h2>{_table(['<th>held out</th>', '<th>generated</th>'], pairs)}"
    if near:
        heads = ["<th>generated</th>", "<th>training</th>", "<th>similarity</th>"]
        out += f"<h2>Nearest to a training string without being one</h2>{_table(heads, near)}"
    return out


def _histograms(table: Table | None) -> str:
    if table is None or not table.histograms:
        return ""
    out = ""
    for name, title in {"length": "Lengths in characters", "character": "Characters", "mode": "Modes"}.items():
        if not (histogram := table.histograms.get(name)):
            continue
        svg = bar_figure(histogram["values"], histogram["real"], histogram["generated"], title)
        out += f"<h2>{title}</h2><figure>{svg}</figure>"
    return out


def _settings(title: str, tree: Mapping[str, Any]) -> str:
    if not tree:
        return ""
    rows = [("", [f"<td>{_safe(key)}</td>", _text_cell(value)]) for key, value in flatten(tree)]
    heads = ["<th>key</th>", "<th>value</th>"]
    return f"<details><summary><strong>{title}</strong></summary>{_table(heads, rows)}</details>"
