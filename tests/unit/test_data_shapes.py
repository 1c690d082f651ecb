"""Captioned shapes: captions are true of the pictures, boxes hold them, and rows are functions of counters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.errors import ConfigurationError
from model.given import word_rows
from training.configuration import DataConfig
from training.data import Images, open_dataset
from training.data.resident import Store
from training.data.shapes import (
    ASPECTS,
    COLOURS,
    LABELS,
    OUTSIDE,
    RADII,
    ROWS,
    Shapes,
    said,
    sentence,
    vocabulary,
)

CPU = torch.device("cpu")
MANY = np.arange(400)
AREAS = {"circle": np.pi / 4, "square": 1.0, "triangle": 0.5, "cross": 5 / 9}


def opened(**options: object) -> Images:
    data = open_dataset(DataConfig(sources=("builtin:shapes",), **options))
    assert isinstance(data, Images)
    return data


@pytest.fixture(scope="module")
def captioned() -> Images:
    return opened(condition=True)


@pytest.fixture(scope="module")
def boxed() -> Images:
    return opened(condition=True, boxes=True, image_size=8)


def test_a_row_depends_on_its_number_and_the_seed_alone() -> None:
    many, few, other = Shapes.of(3, MANY), Shapes.of(3, np.array([7, 251])), Shapes.of(4, MANY)
    assert np.array_equal(many.drawn(16)[[7, 251]], few.drawn(16))
    assert np.array_equal(many.boxes[[7, 251]], few.boxes)
    assert not np.array_equal(many.drawn(16), other.drawn(16))


def test_the_same_seed_gives_the_same_data_and_another_one_others(captioned: Images) -> None:
    again, other = opened(condition=True), opened(condition=True, seed=1)
    assert again.digest == captioned.digest != other.digest
    rows = np.arange(20)
    assert torch.equal(again.draw(rows, CPU), captioned.draw(rows, CPU))
    assert not torch.equal(other.draw(rows, CPU), captioned.draw(rows, CPU))
    assert len(captioned) + len(captioned.held_out) == ROWS


@pytest.mark.parametrize("side", [8, 16, 64])
def test_coloured_pixels_lie_in_the_box_and_reach_its_borders(side: int) -> None:
    shapes = Shapes.of(0, MANY)
    for image, box in zip(shapes.drawn(side), shapes.boxes * side, strict=True):
        rows, columns = np.nonzero(image.max(axis=0))
        low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()]) + 1
        # A pixel is coloured if a part of it is: so the first begins within a pixel before the border.
        assert (low <= box[:2] + 1).all()
        assert (low > box[:2] - 1.001).all()
        assert (high >= box[2:] - 1).all()
        assert (high < box[2:] + 1.001).all()


def test_pictures_have_the_colour_that_is_said() -> None:
    shapes = Shapes.of(0, MANY)
    colours = np.array(list(COLOURS.values()))[shapes.aspects["colour"]]
    for image, colour in zip(shapes.drawn(32), colours, strict=True):
        row, column = np.unravel_index(image.max(axis=0).argmax(), (32, 32))
        found = image[:, row, column] / image[:, row, column].max()
        assert found == pytest.approx(colour / colour.max(), abs=0.01)


def test_pictures_have_the_shape_that_is_said() -> None:
    shapes = Shapes.of(0, MANY)
    pictures = shapes.drawn(64).max(axis=1).astype(np.float64)
    boxes = shapes.boxes * 64
    filled = pictures.sum(axis=(1, 2)) / pictures.max(axis=(1, 2)) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    for kind, name in enumerate(OUTSIDE):
        assert filled[shapes.aspects["shape"] == kind] == pytest.approx(AREAS[name], rel=0.04)


def test_boxes_lie_where_it_is_said_and_are_as_large() -> None:
    shapes = Shapes.of(0, MANY)
    centres = (shapes.boxes[:, :2] + shapes.boxes[:, 2:]) / 2
    assert (shapes.boxes >= 0).all()
    assert (shapes.boxes <= 1).all()
    radii = (shapes.boxes[:, 2:] - shapes.boxes[:, :2]) / 2
    for size, (least, most) in enumerate(RADII.values()):
        of_size = radii[shapes.aspects["size"] == size]
        assert of_size.min() >= least - 1e-6
        assert of_size.max() <= most + 1e-6
    for axis, words in enumerate((("left", "right"), ("top", "bottom"))):
        for place, name in enumerate(ASPECTS["place"]):
            at = centres[shapes.aspects["place"] == place, axis]
            if words[0] in name:
                assert at.max() < 0.46
            elif words[1] in name:
                assert at.min() > 0.54
            else:
                assert abs(at - 0.5).max() < 0.05


def test_a_caption_is_a_sentence_and_its_row_says_the_same(captioned: Images) -> None:
    assert sentence({"size": "small", "colour": "red", "shape": "circle", "place": "top left"}) == (
        "a small red circle at the top left"
    )
    assert sentence({"colour": "blue", "shape": "cross"}) == "a blue cross"
    captions = captioned.captions
    assert captions is not None
    told = said(captions.held_out[:200], captions.given.words)
    for i in range(200):
        words = sentence({name: ASPECTS[name][positions[i]] for name, positions in told.items()})
        assert np.array_equal(word_rows([words], captions.given.words)[0], captions.held_out[i])
    assert "in the middle" in sentence({"shape": "circle", "place": "middle"})


def test_what_is_said_is_what_was_drawn_and_every_aspect_comes_as_often() -> None:
    shapes, words = Shapes.of(0, np.arange(5000)), vocabulary(tuple(ASPECTS))
    rows = np.sum([word_rows(ASPECTS[name], words)[shapes.aspects[name]] for name in ASPECTS], axis=0)
    for name, positions in said(rows, words).items():
        assert np.array_equal(positions, shapes.aspects[name])
        shares = np.bincount(positions, minlength=len(ASPECTS[name])) / len(positions)
        assert shares == pytest.approx(1 / len(ASPECTS[name]), abs=0.03)


def test_samples_stand_beside_their_captions(captioned: Images) -> None:
    captions, rows = captioned.captions, np.array([5, 0, 17_000])
    assert captions is not None
    drawn = captioned.draw(rows, CPU)
    assert captioned.shape == tuple(drawn.shape[1:]) == (3 + 17, 16, 16)
    assert torch.equal(captioned.conditions.of(drawn), torch.from_numpy(captions.train[rows]))
    assert not captioned.labels
    store = Store(captioned, CPU)
    assert torch.equal(store.samples(store.travelling(rows)), drawn)


def test_boxes_stand_after_the_words_and_say_size_and_place(boxed: Images) -> None:
    captions = boxed.captions
    assert captions is not None
    assert captions.given.words == (*COLOURS, *OUTSIDE)
    assert boxed.shape == (3 + 10 + 4, 8, 8)
    boxes = captions.train[:, 10:]
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert (captions.train[:, :10].sum(axis=1) == 2).all()


def test_looks_ask_for_held_out_captions_always_the_same(captioned: Images) -> None:
    captions = captioned.captions
    assert captions is not None
    asked = captioned.asked.rows(0, 0, 50, 6)
    assert asked.shape == (50, 6 + 17)
    assert np.array_equal(asked[:, 6:], captions.held_out[captions.chosen(0, 0, 50)])
    assert np.array_equal(asked[30:], captioned.asked.rows(0, 30, 20, 6))
    assert replace(captioned, conditioned=False).asked.rows(0, 0, 50, 6).shape == (50, 6)


def test_labels_are_colour_and_shape(captioned: Images) -> None:
    captions = captioned.captions
    assert captions is not None
    assert captioned.train_labels is not None
    told = said(captions.train, captions.given.words)
    names = [
        f"{ASPECTS['colour'][c]} {ASPECTS['shape'][s]}" for c, s in zip(told["colour"], told["shape"], strict=True)
    ]
    assert [LABELS[label] for label in captioned.train_labels[:100]] == names[:100]


def test_a_word_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match="the caption says 'pink', and the words known are red, green"):
        word_rows(["a Pink circle."], vocabulary(("colour", "shape")))
    assert word_rows(["A red circle, at the"], ("red", "circle", "top")).tolist() == [[1, 1, 0]]


@pytest.mark.parametrize(
    ("source", "told"), [("builtin:digits", "builtin:digits has none"), ("builtin:ring", "has none"), ("-", "is text")]
)
def test_boxes_of_other_data_are_refused(source: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"data.boxes needs captions.*{told}"):
        open_dataset(DataConfig(sources=(source,), boxes=True))
