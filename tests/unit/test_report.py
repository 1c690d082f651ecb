import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from model.alphabet import Alphabet
from model.errors import RunError
from training.evaluation.table import score_table
from training.report import write_report
from training.report.figures import POINTS, bar_figure, glyph_label, line_figure
from training.report.read import Curve, read_run
from training.runs import SPEED

EVIL = "<script>alert(1)</script>"
PNG = b"\x89PNG\r\n\x1a\n fake"


class Elements(HTMLParser):
    """Every element and its attributes, and the text outside of <style>."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self.style = set(), [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        self.style = tag == "style"

    def handle_endtag(self, tag):
        self.style = False

    def handle_data(self, data):
        if not self.style:
            self.text.append(data)


def write_log(run, rows, end=""):
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + end, encoding="utf-8")


def report(run):
    path = write_report(run)
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def full_run(tmp_path_factory):
    """A run in which everything that comes from a user is markup, mathematics or not Latin."""
    run = tmp_path_factory.mktemp("runs") / "a<b>run"
    (run / "samples").mkdir(parents=True)
    texts = [EVIL, "$a$b$", "日本", "🎉e\u0301", 'x"y', "שלום", "&amp;", " "]
    alphabet = Alphabet("".join(sorted(set("".join(texts)))), 30)
    ids = alphabet.encode(texts * 4)
    table = score_table(train=ids, held_out=ids, samples=ids[1:], alphabet=alphabet, name=EVIL)
    tree = table.to_dict()
    tree["examples"]["nearest"] = [{"sample": EVIL, "training": EVIL, "similarity": 0.9}]
    (run / "metrics.json").write_text(json.dumps(tree))
    (run / "config.json").write_text(json.dumps({"variant": EVIL, "data": {"sources": [EVIL], EVIL: None}}))
    (run / "data.json").write_text(json.dumps({"lines": 32, EVIL: EVIL}))
    row = {"seconds": 2.0, SPEED: 3e3, f"critic/{EVIL}": 1.0, "critic/wasserstein": 0.5}
    write_log(run, [{"round": i, **row, "score/js4": 0.3, "score/js4_floor": 0.1} for i in range(5)])
    for i in (1, 20):
        (run / "samples" / f"{i:08d}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        (run / "samples" / f"{i:08d}.png").write_bytes(PNG)
    return run


@pytest.fixture(scope="module")
def page(full_run):
    return report(full_run)


def test_markup_in_the_data_is_inert(page):
    elements = Elements(page)
    assert "script" not in elements.tags
    assert "b" not in elements.tags
    assert EVIL in "".join(elements.text)
    assert not [name for _, name, _ in elements.attributes if name.startswith("on")]


def test_the_page_fetches_nothing(page):
    elements = Elements(page)
    links = [value for _, name, value in elements.attributes if name in ("src", "href", "xlink:href", "action")]
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not elements.tags & {"link", "iframe", "object", "embed", "base", "form", "image"}
    policy = [value for tag, name, value in elements.attributes if tag == "meta" and name == "content"]
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in policy


def test_every_part_of_a_run_is_on_the_page(page):
    for heading in ("Scores", "Scores against rounds", "Terms against rounds", "Samples over time",
                    "Real and generated", "Nearest to a training string", "Lengths in characters", "Characters",
                    "Data", "Configuration"):  # fmt: skip
        assert f">{heading}" in page
    text = "".join(Elements(page).text)
    for fact in ("round 20", "Markov 5", "$a$b$", "日本", "critic/wasserstein", "data.sources"):
        assert fact in text
    assert page.count("data:image/png;base64,") == 2


def test_colours_follow_the_page(page):
    assert "prefers-color-scheme: dark" in page
    assert "currentColor" in page
    assert "#0a0b0c" not in page


def test_ids_of_different_figures_do_not_collide(page):
    ids = [value for _, name, value in Elements(page).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)


@pytest.mark.parametrize("missing", ["config.json", "data.json", "log.jsonl", "metrics.json", "samples"])
def test_a_missing_part_is_left_out(full_run, tmp_path, missing):
    run = shutil.copytree(full_run, tmp_path / "run", ignore=shutil.ignore_patterns(missing))
    page = report(run)
    assert "</html>" in page
    assert 'class="problems"' not in page


def test_an_empty_folder_has_a_page(tmp_path):
    assert "nothing was logged yet" in report(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "data.json", "metrics.json"])
@pytest.mark.parametrize("content", ['{"a": 1', "[1]", '{"rows": []}', "\xff\xfe"])
def test_an_unreadable_part_is_reported_and_not_fatal(tmp_path, name, content):
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    problems = read_run(tmp_path).problems
    assert len(problems) == (content != '{"rows": []}' or name == "metrics.json")
    assert all(problem.startswith(f"{name} could not be read: ") for problem in problems)
    assert "</html>" in report(tmp_path)


def test_a_torn_line_and_values_that_are_not_finite_are_passed_over(tmp_path):
    rows = [{"round": i, "critic/x": value, "note": "text", "flag": True}
            for i, value in enumerate([1.0, float("nan"), float("inf"), 1e308, 2.0])]  # fmt: skip
    write_log(tmp_path, rows, end='{"round": 5, "critic/x": 3')
    run = read_run(tmp_path)
    assert run.curves.keys() == {"critic/x"}
    assert (run.curves["critic/x"].rounds, run.curves["critic/x"].values) == ([0, 4], [1, 2])
    assert "unreadable lines passed over: 1" in "".join(run.problems)
    assert "left out of the curves: 3" in "".join(run.problems)
    assert "unreadable lines passed over: 1" in report(tmp_path)


def test_a_round_that_was_played_again_after_a_resume_counts_once(tmp_path):
    write_log(tmp_path, [{"round": r, "x": v} for r, v in [(1, 1), (2, 2), (3, 3), (2, 20), (3, 30), (4, 40)]])
    curve = read_run(tmp_path).curves["x"]
    assert (curve.rounds, curve.values) == ([1, 2, 3, 4], [1, 20, 30, 40])


def test_scores_and_terms_of_one_round_may_be_in_two_rows(tmp_path):
    write_log(tmp_path, [{"round": 1, "x": 1}, {"round": 1, "score/js4": 0.5}])
    assert read_run(tmp_path).curves.keys() == {"x", "score/js4"}


def test_snapshots_are_first_last_and_evenly_between(tmp_path):
    (tmp_path / "samples").mkdir()
    for i in range(101):
        (tmp_path / "samples" / f"{i:08d}.txt").write_text("a\n\nb\u2028c\n", encoding="utf-8")
    (tmp_path / "samples" / "notes.txt").write_text("no round")
    texts = read_run(tmp_path).texts
    assert [number for number, _ in texts] == [0, 20, 40, 60, 80, 100]
    assert texts[0][1] == ["a", "", "b\u2028c"]
    assert "(empty)" in report(tmp_path)


def test_strings_that_utf8_cannot_write_do_not_stop_the_report(tmp_path):
    (tmp_path / "data.json").write_text(json.dumps({"example": "\ud800\x00\x1b"}))
    assert "?␀␛" in report(tmp_path)


def test_a_report_replaces_the_older_one(tmp_path):
    write_report(tmp_path)
    (tmp_path / "data.json").write_text('{"lines": 77}')
    assert ">77<" in report(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.json", "report.html"]


def test_a_report_that_cannot_be_written_is_an_error_of_one_line_and_leaves_the_old_one(tmp_path):
    old = report(tmp_path)
    (tmp_path / "report.html.partial").mkdir()
    with pytest.raises(RunError, match=r"cannot write .*report\.html: Is a directory"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == old


def test_the_summary_tells_clocks_and_speed(page):
    assert "5 rounds" not in page
    assert "4 rounds, 2 s, 3,000 samples/s at the end" in page


@pytest.mark.parametrize(
    ("last", "told"), [({"alarm": EVIL}, "and still at the last look"), ({"score/js4": 0.2}, "not any more at round 3")]
)
def test_collapse_alarms_are_told_once_with_what_became_of_them(tmp_path, last, told):
    write_log(tmp_path, [{"round": 1, "alarm": EVIL}, {"round": 2, "x": 1}, {"round": 3, **last}, {"round": 4, "x": 1}])
    text = "".join(Elements(report(tmp_path)).text)
    number = 3 if "alarm" in last else 1
    assert f"alarms: {2 if number == 3 else 1}, the last at round {number}, {told}: {EVIL}" in text
    assert not read_run(tmp_path).problems


def test_scores_of_another_round_than_the_last_are_left_out(full_run, tmp_path):
    run = shutil.copytree(full_run, tmp_path / "run")
    tree = json.loads((run / "metrics.json").read_text())
    for number, shown in ((4, True), (3, False)):
        (run / "metrics.json").write_text(json.dumps({**tree, "round": number}))
        assert ("Markov 5" in report(run)) == shown
    assert read_run(run).problems == ["metrics.json is left out: it is of round 3, and the run is at round 4"]


def test_the_seed_of_each_row_stands_beside_its_name(page):
    assert '<th title="seed 0, 5">Markov 5</th>' in page


def test_no_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(RunError, match=r"cannot report on .*nowhere: there is no such folder"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("character", "label"),
    [("a", "a"), ("$", "$"), ("é", "é"), (" ", "U+0020"), ("\u0301", "U+0301"), ("日", "U+65E5"), ("🧿", "U+1F9FF"),
     ("\ud800", "U+D800"), ("\n", "U+000A")],
)  # fmt: skip
def test_a_character_without_a_glyph_is_labelled_by_its_code_point(character, label):
    assert glyph_label(character) == label


@pytest.mark.parametrize("characters", ["日本語🎉", "$_^\\{}", "\x00\x7f\u200b\u0301", "שלוםع", "a"])
def test_histograms_of_any_character_are_drawn_without_a_warning(characters):
    share = [1 / len(characters)] * len(characters)
    assert bar_figure(list(characters), share, share, "Characters").startswith("<svg")


@pytest.mark.parametrize("values", [[1e99, -1e99], [0.0, 0.0], [1e-300], list(range(10 * POINTS))])
def test_curves_of_any_size_are_drawn(values):
    curve = Curve(list(map(float, range(len(values)))), list(map(float, values)))
    assert line_figure({"model": curve, "real text": curve}, "x").endswith("</svg>\n")


def test_a_long_curve_stays_small_and_keeps_its_extremes_as_a_band():
    curve = Curve(list(map(float, range(100_000))), np.sin(np.arange(100_000)).tolist())
    assert len(line_figure({"model": curve}, "x")) < 60_000
