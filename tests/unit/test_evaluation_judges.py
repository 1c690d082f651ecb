"""What tells modes apart: Gaussians by distance, images by a classifier that is trained for them and kept."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from grey_images import plain
from numpy.typing import NDArray

from training.configuration import DataConfig
from training.data import Images, Points, open_dataset
from training.data.stacks import stacked
from training.evaluation.classifier import FILE, Classifier, Network, classifier_of, train_classifier
from training.evaluation.judges import ImagesJudge, Judge, PointsJudge, judge_of
from training.evaluation.mode_table import ModeTable, mode_table, read_table

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> Images:
    return plain()


@pytest.fixture(scope="module")
def classifier(images: Images) -> Classifier:
    return train_classifier(images, CPU)


def grey(*labels: int) -> NDArray[np.float32]:
    """Images of these labels, (N, 1, 8, 8)."""
    return np.broadcast_to((np.array(labels, np.float32)[:, None, None, None] - 1) / 2, (len(labels), 1, 8, 8)).copy()


def test_the_classifier_is_right_on_images_that_it_has_not_seen(images: Images, classifier: Classifier) -> None:
    assert classifier.accuracy == 1.0
    assert classifier.checked == len(images.held_out)
    assert classifier.labels(grey(2, 0, 1)).tolist() == [2, 0, 1]


def test_the_accuracy_is_the_share_of_right_answers_on_held_out_images(images: Images) -> None:
    assert images.held_out_labels is not None
    wrong = Images(
        images.train, images.held_out, "", images.train_labels, (images.held_out_labels + 1) % 3, images.label_names
    )
    assert train_classifier(wrong, CPU).accuracy == 0.0


def test_digits_are_told_apart() -> None:
    digits = open_dataset(DataConfig(sources=("builtin:digits",)))
    assert isinstance(digits, Images)
    assert train_classifier(digits, CPU).accuracy > 0.95


def test_training_is_deterministic_and_leaves_torchs_random_state_alone(images: Images, classifier: Classifier) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = train_classifier(images, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(again.network.parameters(), classifier.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 128, 128), (1, 9, 13), (1, 3, 3)])
def test_the_network_takes_images_of_any_size(shape: tuple[int, ...]) -> None:
    assert Network(shape, 5).eval()(torch.zeros(2, *shape)).shape == (2, 5)


def test_the_classifier_is_kept_with_the_run_and_taken_from_there(images: Images, tmp_path: Path) -> None:
    first, new = classifier_of(images, CPU, tmp_path)
    again, anew = classifier_of(images, CPU, tmp_path)
    assert (new, anew) == (True, False)
    assert (again.accuracy, again.checked) == (first.accuracy, first.checked)
    assert torch.equal(again.network(torch.from_numpy(grey(0, 1))), first.network(torch.from_numpy(grey(0, 1))))


@pytest.mark.parametrize("damage", ["other images", "cut short", "empty"])
def test_a_classifier_of_other_images_or_a_damaged_one_is_trained_anew(
    images: Images, tmp_path: Path, damage: str
) -> None:
    classifier_of(images, CPU, tmp_path)
    path = tmp_path / FILE
    if damage == "other images":
        images = plain((1, 1))
    else:
        path.write_bytes(path.read_bytes()[: 500 if damage == "cut short" else 0])
    assert classifier_of(images, CPU, tmp_path)[1]
    assert not classifier_of(images, CPU, tmp_path)[1]


def test_images_are_counted_by_their_labels(images: Images, classifier: Classifier) -> None:
    judge = ImagesJudge(images, classifier)
    assert judge.seen(grey(2, 0, 0, 1)).tolist() == [2, 0, 0, 1]
    collapsed = judge.scores(judge.seen(grey(1, 1, 1)))
    assert images.train_labels is not None
    share = (images.train_labels == 1).mean()
    assert collapsed == {"modes": 1, "reverse_kl": pytest.approx(-math.log(share)), "forward_kl": None}
    assert judge.facts == {"held_out_accuracy": 1.0, "held_out_images": len(images.held_out)}


def test_the_distribution_of_labels_is_held_against_that_of_the_training_images() -> None:
    images = plain((1, 2, 3))
    judge = judge_of(images, CPU)
    assert judge is not None
    assert images.train_labels is not None
    assert judge.scores(images.train_labels.astype(np.int64)) == {
        "modes": 3, "reverse_kl": pytest.approx(0, abs=1e-12), "forward_kl": pytest.approx(0, abs=1e-12)
    }  # fmt: skip
    assert 0 < (judge.scores(judge.real(4000))["reverse_kl"] or 0) < 20 / 8000


def test_stacks_are_counted_by_the_labels_of_their_channels_together(images: Images, classifier: Classifier) -> None:
    judge = ImagesJudge(stacked(images, DataConfig()), classifier)
    stack = np.concatenate([grey(2), grey(0), grey(1)], axis=1)
    assert judge.seen(np.concatenate([stack, stack[:, ::-1]])).tolist() == [2 * 9 + 0 * 3 + 1, 1 * 9 + 0 * 3 + 2]
    assert judge.headings["modes"] == "modes\nof 27"
    real = judge.scores(judge.real(2700))
    assert real["modes"] == 27
    assert 0 < (real["reverse_kl"] or 0) < 60 / 5400  # 2 n KL is chi-squared of 26
    one = judge.scores(judge.seen(stack))
    assert one["modes"] == 1
    assert one["reverse_kl"] == pytest.approx(math.log(27), rel=0.05)


def test_the_record_is_that_of_2500_points_and_26000_stacks(images: Images, classifier: Classifier) -> None:
    ring = open_dataset(DataConfig(sources=("builtin:ring",)))
    judge = judge_of(ring, CPU)
    assert judge is not None
    assert judge.n == 2500
    assert ImagesJudge(stacked(images, DataConfig()), classifier).n == 26_000


def test_data_of_no_known_modes_has_no_judge(images: Images) -> None:
    roll = open_dataset(DataConfig(sources=("builtin:swissroll",)))
    unlabelled = Images(images.train, images.held_out, "")
    assert judge_of(roll, CPU) is None
    assert judge_of(unlabelled, CPU) is None


def line() -> tuple[Points, Judge]:
    points = open_dataset(DataConfig(sources=("builtin:mixture1d",)))
    assert isinstance(points, Points)
    assert points.modes is not None
    return points, PointsJudge(points, points.modes)


def test_on_a_line_histograms_are_compared_in_the_datas_own_units() -> None:
    points, judge = line()
    assert points.train_labels is not None
    one = points.train[points.train_labels == 2]
    found = judge.scores(judge.seen(one))
    assert found["modes"] == 1
    # All of it at one of five modes that do not overlap there.
    assert found["density_kl"] == pytest.approx(math.log(5), abs=0.02)
    assert (judge.scores(judge.real(judge.n))["density_kl"] or 1) < 0.005


def test_real_points_are_always_the_same_and_those_of_another_number_begin_differently_or_not_at_all() -> None:
    _, judge = line()
    assert np.array_equal(judge.real(50), judge.real(50))


def test_a_table_holds_the_model_beside_as_many_real_samples_and_is_read_back(
    images: Images, classifier: Classifier
) -> None:
    judge = ImagesJudge(images, classifier)
    parts = [grey(0, 1), grey(1, 1, 1)]
    table = mode_table(judge, parts, 5, seed=3, name="[mine]")
    assert table["[mine]"]["modes"] == 2
    assert table.histograms["mode"] == {
        "values": ["a", "b", "c"], "real": judge.shares(judge.real(5)).tolist(), "generated": [0.2, 0.8, 0.0],
    }  # fmt: skip
    assert [row.seed for row in table.rows] == [None, (3,)]
    again = read_table(json.loads(json.dumps(table.to_dict(), allow_nan=False)))
    assert isinstance(again, ModeTable)
    assert again.plain(100) == table.plain(100)
    assert "right on 100.0% of" in table.plain(200)
    assert "real" in table.plain().splitlines()[2]


@pytest.mark.parametrize("change", [{"rows": 3}, {"columns": {"x": "y"}}, {"rows": [{"name": "a"}]}, {"columns": None}])
def test_what_is_no_table_is_refused(images: Images, classifier: Classifier, change: dict[str, object]) -> None:
    tree = mode_table(ImagesJudge(images, classifier), [grey(0)], 1, seed=0).to_dict()
    with pytest.raises(ValueError, match=r"not a table of modes|unknown scores"):
        read_table({**tree, **change})
