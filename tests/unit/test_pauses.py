"""When looks and checkpoints are due, and how much of the time they take."""

from __future__ import annotations

import pytest
from small_runs import begin, configured, data_of

from training.distributed import Ranks
from training.pauses import Interval, Meetings


def test_the_first_look_is_early_and_the_gaps_double_until_they_are_as_long_as_asked_for() -> None:
    interval = Interval(30.0, 0.0, first=5.0)
    assert [second for second in range(200) if interval.due(second)] == [5, 15, 35, 65, 95, 125, 155, 185]


def test_what_takes_long_is_due_less_often() -> None:
    interval = Interval(10.0, 0.0, share=0.04)
    found = []
    for second in range(1000):
        if interval.due(second):
            found.append(second)
            interval.spent += 4.0
    assert found == [10, *range(100, 1000, 100)]
    assert interval.spent <= 0.04 * 1000 + 4.0


def test_a_share_counts_from_where_a_run_goes_on() -> None:
    interval = Interval(10.0, 5000.0, share=0.01)
    interval.spent = 1.0
    assert not interval.is_due(5099.0)
    assert interval.is_due(5100.0)


def test_the_time_of_a_pause_is_counted_although_it_fails() -> None:
    interval = Interval(1.0, 0.0)
    with pytest.raises(ZeroDivisionError), interval.taking():
        raise ZeroDivisionError
    assert interval.spent > 0.0


def test_ranks_agree_on_the_time_that_rank_0_took() -> None:
    class Two(Ranks):
        def gather(self, *values: float) -> list[tuple[float, ...]]:
            return [(*values[:3], 2.5), (*values[:3], 9.0)]

    look, config = Interval(1.0, 0.0), configured()
    Meetings(Two(), begin(config, data_of("points")), end=None, pauses=(look,)).meet([])
    assert look.spent == 2.5
