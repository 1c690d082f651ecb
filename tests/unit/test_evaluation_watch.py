import numpy as np
import pytest

from model.alphabet import Alphabet
from training.evaluation.ngrams import js_divergence
from training.evaluation.watch import Watch

ABC = Alphabet("abcdefgh", 8)
KEYS = {"js4", "js4_floor", "unique", "copied", "mean_length", "empty"}


def noise(n, seed, low=2, high=10):
    return np.random.default_rng(seed).integers(low, high, (n, 8)).astype(np.uint8)


@pytest.fixture(scope="module")
def watch():
    return Watch(noise(3000, 1, 2, 6), noise(1200, 2, 2, 6), ABC, n=1000, seed=0)


def test_real_text_is_at_the_floor_and_other_text_is_not(watch):
    real, other = watch.scores(noise(1000, 3, 2, 6)), watch.scores(noise(1000, 3, 4, 8))
    assert real.keys() == KEYS
    assert real["js4"] == pytest.approx(real["js4_floor"], rel=0.25)
    assert other["js4"] > 5 * other["js4_floor"]
    assert real["js4_floor"] == other["js4_floor"]
    assert watch.alarm(real) is watch.alarm(other) is None


def test_shares_by_hand(watch):
    train = noise(3000, 1, 2, 6)
    ids = np.concatenate([train[:2], train[:1], noise(1, 5, 6, 10), np.zeros((1, 8), np.uint8)])
    scores = watch.scores(ids)
    assert (scores["unique"], scores["copied"], scores["empty"]) == (4 / 5, 3 / 5, 1 / 5)
    assert scores["mean_length"] == 4 / 5 * 8


def test_the_floor_is_of_as_many_strings_as_were_scored(watch):
    few = watch.scores(noise(50, 3, 2, 6))
    assert few["js4_floor"] > 1.5 * watch.scores(noise(1000, 3, 2, 6))["js4_floor"]
    assert few["js4"] == pytest.approx(few["js4_floor"], rel=0.1)


def test_only_the_first_n_strings_count(watch):
    assert watch.scores(noise(4000, 3)) == watch.scores(noise(4000, 3)[:1000])


def test_scores_are_those_of_the_table():
    train, held_out, ids = noise(300, 1), noise(200, 2), noise(200, 3)
    scores = Watch(train, held_out, ABC, n=1000).scores(ids)
    assert scores["js4"] == js_divergence(ids, held_out, 4, ABC.size)


def test_a_collapse_to_few_strings_raises_an_alarm(watch):
    alarm = watch.alarm(watch.scores(np.repeat(noise(10, 3), 100, axis=0)))
    assert alarm == "collapse: 1.0% of the samples are distinct, below the bound of 49.5% (real text: 99.1%)"


def test_a_collapse_to_padding_raises_an_alarm(watch):
    alarm = watch.alarm(watch.scores(np.zeros((1000, 8), np.uint8)))
    assert alarm == "collapse: 100.0% of the samples are empty, above the bound of 50.0% (real text: 0.0%)"


def test_text_that_repeats_itself_or_is_often_empty_raises_none():
    train = np.repeat(noise(20, 1), 50, axis=0)
    train[:600] = 0
    watch = Watch(train, train, ABC)
    assert watch.real_unique < 0.05
    assert watch.alarm(watch.scores(train[::-1])) is None


def test_strings_too_short_for_js_4_have_no_js_4():
    alphabet = Alphabet("ab", 3)
    watch = Watch(alphabet.encode(["a", "b"]), alphabet.encode(["a"]), alphabet)
    assert watch.scores(alphabet.encode(["ab", "b"])).keys() == KEYS - {"js4", "js4_floor"}


def test_nothing_to_watch_is_refused(watch):
    ids = noise(5, 1)
    with pytest.raises(ValueError, match="at least 1 string"):
        Watch(ids, ids[:0], ABC)
    with pytest.raises(ValueError, match="the samples must hold at least 1 string"):
        watch.scores(ids[:0])
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        Watch(ids, ids, ABC, n=0)
