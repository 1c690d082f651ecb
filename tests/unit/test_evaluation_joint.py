"""The joint score: nothing for text as good as real, and no way around it by copying or repeating."""

from __future__ import annotations

import pytest

from training.evaluation.joint import joint_score

REAL = {"js4_padded": 0.12, "copied": 0.15, "unique": 0.99}


@pytest.mark.parametrize(
    ("changed", "score"),
    [
        ({}, 0.0),
        ({"js4_padded": 0.18}, 0.06),
        ({"copied": 0.35}, 0.2),
        ({"unique": 0.89}, 0.1),
        ({"js4_padded": 0.18, "copied": 0.35, "unique": 0.89}, 0.36),
    ],
)
def test_it_is_the_sum_of_what_is_worse_than_real_text(changed: dict[str, float], score: float) -> None:
    assert joint_score(REAL | changed, REAL) == pytest.approx(score)


def test_what_is_better_than_real_text_makes_up_for_nothing() -> None:
    better = {"js4_padded": 0.1, "copied": 0.0, "unique": 1.0}
    assert joint_score(better, REAL) == 0
    assert joint_score(better | {"copied": 0.35}, REAL) == pytest.approx(0.2)


def test_a_copy_of_the_training_text_is_worse_than_a_fair_model() -> None:
    copy, fair = REAL | {"js4_padded": 0.11, "copied": 1.0}, REAL | {"js4_padded": 0.18, "copied": 0.1}
    assert (joint_score(copy, REAL) or 0) > (joint_score(fair, REAL) or 0)


def test_strings_without_js4_have_none() -> None:
    assert joint_score(REAL | {"js4_padded": None}, REAL) is None
