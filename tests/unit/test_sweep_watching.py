"""A trial is given up at a look if it is worse than nearly all finished ones at the same part of the budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import optuna
import pytest

from training.display import Progress
from training.sweep.study import PRUNER, STARTED, STEPS, Watching

GOOD = 0.1


@pytest.fixture
def quiet() -> Iterator[None]:
    optuna.logging.disable_propagation()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.enable_propagation()


def study_of(finished: int) -> optuna.Study:
    """A study with so many trials whose JS-4 was GOOD at every part of their budget."""
    study = optuna.create_study(pruner=PRUNER)
    for _ in range(finished):
        study.add_trial(optuna.create_trial(value=GOOD, intermediate_values=dict.fromkeys(range(STEPS), GOOD)))
    return study


def look(watching: Watching, share: float, excess: float) -> None:
    scores = {"js4": 0.5 + excess, "js4_floor": 0.5}
    watching.show(Progress("a trial", share=share, scores=scores), looked=True)


def looks(study: optuna.Study, told: Sequence[tuple[float, float]], before: set[int] | None = None) -> optuna.Trial:
    """A new trial that was looked at so: part of the budget, JS-4 above real text."""
    trial = study.ask()
    watching = Watching(trial, before or set())
    for share, excess in told:
        look(watching, share, excess)
    return trial


@pytest.mark.usefixtures("quiet")
def test_a_hopeless_trial_is_given_up_with_the_reason() -> None:
    with pytest.raises(optuna.TrialPruned, match=r"given up after 50% of its budget: JS-4 0.200 above real text"):
        looks(study_of(STARTED), [(0.5, 2 * GOOD)])


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("finished", "share", "excess"),
    [(STARTED, 0.5, GOOD / 2), (STARTED - 1, 0.5, 2 * GOOD), (STARTED, 0.2, 2 * GOOD), (STARTED, 1.0, 2 * GOOD)],
    ids=["a good one", "few to compare with", "too early", "at its end"],
)
def test_any_other_is_played_on(finished: int, share: float, excess: float) -> None:
    assert not looks(study_of(finished), [(share, excess)]).should_prune()


@pytest.mark.usefixtures("quiet")
def test_one_that_was_once_good_is_played_on() -> None:
    assert not looks(study_of(STARTED), [(0.4, GOOD / 2), (0.7, 2 * GOOD)]).should_prune()


@pytest.mark.usefixtures("quiet")
def test_a_part_of_the_budget_counts_once_also_after_an_interruption() -> None:
    study = study_of(0)
    looks(study, [(0.5, 0.3), (0.51, 0.1)])
    looks(study, [(0.5, 0.3)], before={STEPS // 2})
    assert [trial.intermediate_values for trial in study.trials] == [{STEPS // 2: pytest.approx(0.3)}, {}]
