import json

import numpy as np
import pytest
from rich.console import Console

from model.alphabet import Alphabet
from training.evaluation import table as module
from training.evaluation.bits import bits_per_character
from training.evaluation.chains import MarkovChain
from training.evaluation.copies import unique_share
from training.evaluation.layout import blocks, figure
from training.evaluation.table import DEFINITIONS, ScoreTable, score_table

ABC = Alphabet("abcdefgh", 10)


def text(n, seed):
    """Strings of a source with memory: of 1 to 9 characters, each one of three that depend on the one before."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((n, 10), dtype=np.uint8)
    ids[:, 0] = rng.integers(2, 10, n)
    for t in range(1, 9):
        ids[:, t] = (ids[:, t - 1] * 3 + rng.integers(0, 3, n)) % 8 + 2
    ids[np.arange(10) >= rng.integers(1, 10, (n, 1))] = 0
    return ids


@pytest.fixture(scope="module")
def scored():
    noise = np.random.default_rng(9).integers(2, 10, (600, 10)).astype(np.uint8)
    train = text(2000, 1)
    sets = {"copier": train[:600], "noise": noise, "nothing": np.zeros((700, 10), np.uint8)}
    return score_table(
        train=train, held_out=text(500, 2), samples=text(900, 3), alphabet=ABC, n=600, seed=4, name="source", extra=sets
    )


def test_rows_are_real_text_four_chains_and_every_named_set(scored):
    assert scored.names == (
        "real", "Markov 2", "Markov 3", "Markov 4", "Markov 5", "source", "copier", "noise", "nothing",
    )  # fmt: skip
    assert all(list(row.scores) == list(DEFINITIONS) for row in scored.rows)


def test_every_row_has_the_size_of_the_smallest_set(scored):
    assert (scored.n, scored.asked, scored.classic, scored.nearest) == (500, 600, 500, 500)
    assert "500 strings in every row and in the held-out reference (600 were asked for" in scored.notes()[0]


def test_a_perfect_generator_sits_at_the_floor(scored):
    for key in DEFINITIONS:
        if key.startswith("js"):
            assert scored["source"][key] == pytest.approx(scored["real"][key], rel=0.25, abs=0.01)
    assert scored["source"]["reverse_bits"] == pytest.approx(scored["real"]["reverse_bits"], rel=0.02)
    assert scored["source"]["forward_bits"] == pytest.approx(scored["real"]["forward_bits"], rel=0.03)


def test_a_copier_is_found_out_by_copies_alone(scored):
    assert scored["copier"]["copied"] == scored["copier"]["nearest"] == 1
    assert scored["real"]["copied"] < 0.6
    assert scored["copier"]["js4_padded"] < scored["real"]["js4_padded"] * 1.2


def test_noise_is_far_and_original(scored):
    assert scored["noise"]["js4_bare"] > scored["real"]["js4_bare"] + 0.3
    assert scored["noise"]["copied"] == 0
    assert scored["noise"]["reverse_bits"] > scored["real"]["reverse_bits"] + 0.5
    assert scored["noise"]["mean_length"] == 10


def test_padding_alone_scores_worst_where_it_must(scored):
    row = scored["nothing"]
    assert (row["js4_bare"], row["unique"], row["mean_length"]) == (1, 1 / 500, 0)
    assert 0 < row["js4_padded"] < 1


def test_scores_are_those_of_the_single_measures(scored):
    samples = text(900, 3)[:500]
    assert scored["source"]["unique"] == unique_share(samples)
    assert scored["source"]["forward_bits"] == bits_per_character(samples, text(2000, 1), ABC.size)
    chain = MarkovChain.fit(text(2000, 1), ABC.size, 3).sample(500, (4, 3))
    assert scored["Markov 3"]["unique"] == unique_share(chain)
    assert scored.rows[2].seed == (4, 3)


def test_the_floor_is_of_training_text_and_originality_of_held_out_text():
    held_out = text(300, 2)
    found = score_table(train=text(300, 1), held_out=held_out, samples=text(300, 3), alphabet=ABC, n=300)["real"]
    assert found["unique"] == unique_share(held_out)
    assert found["mean_length"] == pytest.approx((held_out != 0).sum(axis=1).mean())
    # All training strings are the floor's sample, so a model of them says what held-out text costs.
    assert found["reverse_bits"] == pytest.approx(bits_per_character(held_out, text(300, 1), ABC.size))
    assert found["forward_bits"] == pytest.approx(found["reverse_bits"])


def test_the_same_seed_gives_the_same_table():
    sets = {"train": text(200, 1), "held_out": text(100, 2), "samples": text(100, 3), "alphabet": ABC}
    assert score_table(**sets, seed=7) == score_table(**sets, seed=7)
    assert score_table(**sets, seed=7) != score_table(**sets, seed=8)


def test_a_large_training_text_is_learned_in_part_and_said_so(monkeypatch):
    monkeypatch.setattr(module, "FIT_POSITIONS", 1000)
    found = score_table(train=text(400, 1), held_out=text(50, 2), samples=text(50, 3), alphabet=ABC)
    assert (found.train, found.fitted) == (400, 100)
    assert "from 100 of them" in found.notes()[0]


@pytest.mark.parametrize("length", [1, 2, 3, 6])
@pytest.mark.parametrize("samples", [["ab", "ba"], ["", ""], ["b"]])
def test_tiny_sets_have_a_table_with_gaps(length, samples):
    alphabet = Alphabet("ab", length)
    found = score_table(
        train=alphabet.encode(["aaaaaa", "bbbbbb"]),
        held_out=alphabet.encode(["ababab"]),
        samples=alphabet.encode(samples),
        alphabet=alphabet,
    )
    assert found.n == 1
    assert all((row.scores["js6_padded"] is None) == (length < 6) for row in found.rows)
    assert all(row.scores["js1_padded"] is not None for row in found.rows)
    assert found.plain(100).splitlines()[2].split().count("-") == sum(value is None for value in found["real"].values())
    assert ScoreTable.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_a_table_survives_json(scored):
    tree = json.loads(json.dumps(scored.to_dict(), allow_nan=False))
    assert ScoreTable.from_dict(tree) == scored
    assert tree["definitions"].keys() == tree["rows"][0]["scores"].keys()
    assert ScoreTable.from_dict({**tree, "added": "later"}) == scored


@pytest.mark.parametrize("tree", [{}, {"rows": [{}]}, {"rows": 3}, {"rows": [{"name": "x", "scores": {"a": "b"}}]}])
def test_what_is_no_table_is_refused(tree):
    with pytest.raises(ValueError, match=r"score table|could not convert"):
        ScoreTable.from_dict(tree)


def test_examples_and_histograms_come_with_the_table(scored):
    assert len(scored.examples["real"]) == len(scored.examples["generated"]) == 20
    assert all(0 < pair["similarity"] < 1 for pair in scored.examples["nearest"])
    for histogram in scored.histograms.values():
        assert len(histogram["values"]) == len(histogram["real"]) == len(histogram["generated"])
        assert sum(histogram["real"]) == pytest.approx(1)
        assert sum(histogram["generated"]) == pytest.approx(1)
    assert sorted(scored.histograms["character"]["values"]) == list("abcdefgh")


@pytest.mark.parametrize(("width", "count"), [(100, 1), (120, 1), (80, 2), (60, 3), (20, 3)])
def test_the_table_fits_the_width_in_as_few_blocks_as_possible(scored, width, count):
    assert len(blocks(width)) == count
    if width >= 60:
        lines = scored.plain(width).splitlines()
        assert max(map(len, lines)) <= width
        assert sum(line.startswith("Markov 3") for line in lines) == count
        assert all(len(line.split()) == 2 + len(columns) for line, columns in
                   zip([x for x in lines if x.startswith("Markov 3")], blocks(width), strict=True))  # fmt: skip


def test_a_name_is_no_markup_and_a_file_gets_no_colours():
    found = score_table(
        train=text(9, 1), held_out=text(9, 2), samples=text(9, 3), alphabet=ABC, name="[red]x[/red] and far too long"
    )
    assert "[red]x[/red]" in found.plain(100)
    assert "\x1b" not in found.plain(100)
    console = Console(force_terminal=True, width=100, color_system="standard")
    with console.capture() as capture:
        console.print(found.render(100))
    assert "\x1b[" in capture.get()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0, ".000"), (0.1194, ".119"), (0.9996, "1.00"), (1.0, "1.00"), (9.999, "10.0"), (64.0, "64.0"),
     (99.96, "100"), (512.4, "512")],
)  # fmt: skip
def test_figures_take_four_characters(value, shown):
    assert figure(value) == shown


@pytest.mark.parametrize("empty", ["train", "held_out", "samples"])
def test_an_empty_set_is_refused_by_name(empty):
    sets = {"train": text(5, 1), "held_out": text(5, 2), "samples": text(5, 3)}
    names = {"train": "the training set", "held_out": "the held-out set", "samples": "model"}
    sets[empty] = sets[empty][:0]
    with pytest.raises(ValueError, match=f"{names[empty]} must hold at least 1 string"):
        score_table(**sets, alphabet=ABC)


def test_sets_that_do_not_belong_together_are_refused():
    sets = {"train": text(5, 1), "held_out": text(5, 2), "samples": text(5, 3), "alphabet": ABC}
    with pytest.raises(ValueError, match="same length T, got 4, 10"):
        score_table(**{**sets, "samples": text(5, 3)[:, :4]})
    with pytest.raises(ValueError, match="a name of its own"):
        score_table(**sets, extra={"model": text(5, 3)})
    with pytest.raises(ValueError, match="a name of its own"):
        score_table(**sets, name="Markov 3")
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        score_table(**sets, n=0)
