"""The one table that says how good generated text is: real text, Markov chains and the model, at one sample size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType

from model.alphabet import PADDING, Alphabet
from training.evaluation import layout, portraits
from training.evaluation.bits import CharacterModel
from training.evaluation.chains import MarkovChain
from training.evaluation.copies import Originals, Pair, subsample, unique_share
from training.evaluation.ngrams import ORDERS, IdMatrix, NgramProfile, checked, checked_shape

CHAINS = {order: f"Markov {order}" for order in (2, 3, 4, 5)}
CLASSIC = 640
FIT_POSITIONS = 2_000_000

DEFINITIONS = {
    **{f"js{n}_padded": f"JS-{n} to held-out text in bits, padding counted" for n in ORDERS},
    **{f"js{n}_bare": f"JS-{n} to held-out text in bits, windows without padding" for n in ORDERS},
    "js4_classic": "JS-4 padded of up to 640 strings to the training text (rewards memorising)",
    "unique": "distinct strings over all",
    "copied": "share of strings that are in the training set",
    "nearest": "mean similarity (1 - edit distance / longer length) to the nearest training string",
    "forward_bits": "bits per character of the row's strings under a 5-gram model of the training text",
    "reverse_bits": "bits per character of held-out text under a 5-gram model of the row's strings",
    "mean_length": "characters per string",
}


@dataclass(frozen=True)
class Row:
    """One set of strings and its scores by column; None where a column is not defined for it."""

    name: str
    scores: Mapping[str, float | None]
    seed: tuple[int, ...] | None = None

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Row:
        """The row that ``asdict`` made.  Raises KeyError, TypeError or ValueError if it is none."""
        scores = {
            key: value if isinstance(value, int | None) else float(value) for key, value in tree["scores"].items()
        }
        return cls(str(tree["name"]), scores, tuple(tree["seed"]) if tree["seed"] else None)


@dataclass(frozen=True)
class ScoreTable:
    """Rows of scores that may be compared with one another, and what they were taken from.

    n: strings in every row and in the held-out reference.  asked: the n that was asked for.  classic: strings of the
    classic column.  nearest: strings whose nearest copy was sought, among nearest_training distinct training strings.
    train: training strings; fitted: those that chains, bits and the classic column used.  length: T.  size: V.
    membership: how well a critic's scores tell training strings from held-out ones, as the area under the curve of a
    guess by them: 0.5 not at all, 1 always; None where nobody asked a critic.
    """

    rows: tuple[Row, ...]
    n: int
    asked: int
    classic: int
    nearest: int
    nearest_training: int
    train: int
    fitted: int
    length: int
    size: int
    seed: int
    examples: Mapping[str, Any] = field(default_factory=dict)
    histograms: Mapping[str, Any] = field(default_factory=dict)
    membership: float | None = None

    def __getitem__(self, name: str) -> Mapping[str, float | None]:
        """The scores of the row of that name.  Raises KeyError."""
        return {row.name: row.scores for row in self.rows}[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The rows' names, from top to bottom."""
        return tuple(row.name for row in self.rows)

    @property
    def columns(self) -> dict[str, str]:
        """The heading of each score."""
        return {key: heading for group in layout.GROUPS for key, heading in group.items()}

    @property
    def definitions(self) -> dict[str, str]:
        """What each score is."""
        return DEFINITIONS

    def to_dict(self) -> dict[str, Any]:
        """Everything, definitions included, as JSON would return it."""
        rows = [{**asdict(row), "seed": list(row.seed) if row.seed else None} for row in self.rows]
        return {**asdict(self), "rows": rows, "definitions": dict(DEFINITIONS)}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> ScoreTable:
        """The table that ``to_dict`` wrote.  Raises ValueError if it is not one."""
        try:
            rows = tuple(map(Row.from_dict, tree["rows"]))
            told = {key.name: tree[key.name] for key in fields(cls) if key.name != "membership"}
            return cls(**{**told, "rows": rows, "membership": tree.get("membership")})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a score table: {error!r}") from error

    def notes(self) -> list[str]:
        """What the figures were taken from and how to read them, a sentence each."""
        fewer = f" ({self.asked} were asked for, the smallest set holds {self.n})" if self.n < self.asked else ""
        part = f" (bits, chains and JS-4 640 from {self.fitted} of them)" if self.fitted < self.train else ""
        notes = [
            f"{self.n} strings in every row and in the held-out reference{fewer}; {self.train} for training{part}; "
            f"T = {self.length}, V = {self.size}, seed {self.seed}.",
            "JS-n: Jensen-Shannon divergence of n-grams to held-out text in bits, with padding (pad) and without "
            "(bare): read the excess over the row real.",
            f"JS-4 640: {self.classic} strings against the training text, padded; it rewards memorising.",
            f"uniq: share distinct. copy: share found in the training set. near: mean similarity of {self.nearest} "
            f"strings to the nearest of {self.nearest_training} training strings.",
            "bits fwd: per character, of the row under a model of the training text. "
            "bits rev: of held-out text under a model of the row.",
            "real: JS-n and bits rev are of other lines of the training text (the floor); "
            "all else is of held-out text against the training text.",
        ]
        if self.membership is not None:
            area = f"{self.membership:.3f} (0.5: not at all, 1: always)"
            notes.append(f"membership: the critic's scores tell training from held-out strings with an AUC of {area}.")
        return notes

    def render(self, width: int = 100) -> RenderableType:
        """For a rich console of that many columns: one block, or several where they do not fit side by side."""
        return layout.render([(row.name, row.scores) for row in self.rows], self.notes(), width)

    def plain(self, width: int = 100) -> str:
        """The same as text without colours."""
        return layout.plain([(row.name, row.scores) for row in self.rows], self.notes(), width)


@dataclass(frozen=True)
class _Judge:
    """What every row is held against."""

    alphabet: Alphabet
    held_out: IdMatrix
    profile: NgramProfile
    classic: NgramProfile
    originals: Originals
    language: CharacterModel
    seed: int

    def distances(self, ids: IdMatrix) -> dict[str, float | None]:
        """JS to held-out text, and what a model of ids (N, T) makes of it: ids must share no line with held-out."""
        reverse = CharacterModel.fit(ids, self.alphabet.size).bits_per_character(self.held_out)
        return {**self.profile.divergences(ids), "reverse_bits": reverse}

    def originality(self, ids: IdMatrix) -> tuple[dict[str, float | None], list[Pair]]:
        """Scores against the training text, which ids (N, T) must not be a part of; and the nearest copies."""
        pairs = self.originals.nearest(ids, seed=self.seed)
        return {
            "js4_classic": self.classic.divergences(ids[:CLASSIC])["js4_padded"],
            "unique": unique_share(ids),
            "copied": self.originals.copied(ids),
            "nearest": float(np.mean([pair.similarity for pair in pairs])),
            "forward_bits": self.language.bits_per_character(ids),
            "mean_length": float((ids != PADDING).sum(axis=1).mean()),
        }, pairs

    def scores(self, distant: IdMatrix, original: IdMatrix) -> tuple[dict[str, float | None], list[Pair]]:
        """All columns in their order: the distances of one set, the originality of the other."""
        found, pairs = self.originality(original)
        found |= self.distances(distant)
        return {key: found[key] for key in DEFINITIONS}, pairs


def score_table(
    *,
    train: IdMatrix,
    held_out: IdMatrix,
    samples: IdMatrix,
    alphabet: Alphabet,
    hashes: NDArray[np.uint64] | None = None,
    n: int = 3000,
    seed: int = 0,
    name: str = "model",
    extra: Mapping[str, IdMatrix] | None = None,
) -> ScoreTable:
    """Score samples beside real text and Markov chains of order 2 to 5.

    train, held_out, samples, and each named set of extra: ids (N, T).  Every row and the held-out reference hold the
    same number of strings: n, or as many as the smallest of the sets has.
    hashes: of train, as ``Corpus.train_hashes`` has them, and then only rows drawn by seed are read of a large train.

    The row ``real`` is made of two halves, since no text can be compared with itself.  Its JS columns and reverse
    bits are those of training strings drawn by seed, which share no line with the reference: that is the floor.  Its
    other columns describe the held-out strings against the training set.

    Raises ValueError for an empty set, an id beyond V, sets of different T, n < 1 or a name used twice.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    generated = _checked_sets(train, held_out, [(name, samples), *(extra or {}).items()], alphabet)
    size = min(n, *(len(ids) for ids in (train, held_out, *generated.values())))
    reference = _drawn(held_out, "the held-out set", alphabet, size, (seed, 0))
    fitted = _drawn(train, "the training set", alphabet, max(1, FIT_POSITIONS // train.shape[1]), (seed, 2))
    judge = _judge(Originals.of(train, alphabet, hashes=hashes, seed=seed), fitted, reference, seed)
    rows = [_real(judge, _drawn(train, "the training set", alphabet, size, (seed, 1))), *_chains(judge, fitted, size)]
    pairs = {}
    for title, ids in generated.items():
        scores, pairs[title] = judge.scores(ids[:size], ids[:size])
        rows.append(Row(title, scores))
    return ScoreTable(
        rows=tuple(rows),
        n=size,
        asked=n,
        classic=min(CLASSIC, size),
        nearest=len(pairs[name]),
        nearest_training=len(judge.originals.texts),
        train=len(train),
        fitted=len(fitted),
        length=train.shape[1],
        size=alphabet.size,
        seed=seed,
        examples=portraits.examples(reference, generated[name][:size], pairs[name], alphabet),
        histograms=portraits.histograms(reference, generated[name][:size], alphabet),
    )


def _checked_sets(
    train: IdMatrix, held_out: IdMatrix, generated: Sequence[tuple[str, IdMatrix]], alphabet: Alphabet
) -> dict[str, IdMatrix]:
    """The named generated sets, of the T of the other two.  Raises ValueError if they are not."""
    names = ["real", *CHAINS.values(), *(title for title, _ in generated)]
    if len(set(names)) != len(names):
        raise ValueError(f"every row needs a name of its own, got {', '.join(names)}")
    checked_shape(train, "the training set")
    checked_shape(held_out, "the held-out set")
    clean = {title: checked(ids, alphabet.size, title) for title, ids in generated}
    if len(lengths := {ids.shape[1] for ids in (train, held_out, *clean.values())}) > 1:
        raise ValueError(f"all sets must have the same length T, got {', '.join(map(str, sorted(lengths)))}")
    return clean


def _drawn(ids: IdMatrix, what: str, alphabet: Alphabet, most: int, seed: tuple[int, ...]) -> IdMatrix:
    """At most so many rows of ids (N, T), drawn by seed; the others are not read."""
    return checked(ids[subsample(len(ids), most, seed)], alphabet.size, what)


def _judge(originals: Originals, fitted: IdMatrix, reference: IdMatrix, seed: int) -> _Judge:
    """fitted: training strings to learn from; reference: held-out ones; ids (N, T)."""
    alphabet = originals.alphabet
    return _Judge(
        alphabet=alphabet,
        held_out=reference,
        profile=NgramProfile(reference, alphabet.size),
        classic=NgramProfile(fitted, alphabet.size, orders=(4,), forms=("padded",)),
        originals=originals,
        language=CharacterModel.fit(fitted, alphabet.size),
        seed=seed,
    )


def _real(judge: _Judge, floor: IdMatrix) -> Row:
    """The row of real text; floor: as many training strings (N, T) as there are held-out ones."""
    return Row("real", judge.scores(floor, judge.held_out)[0], (judge.seed, 1))


def _chains(judge: _Judge, fitted: IdMatrix, size: int) -> list[Row]:
    """The rows of the Markov chains, learned from fitted (N, T), with `size` strings each."""
    rows = []
    for order, title in CHAINS.items():
        drawn = MarkovChain.fit(fitted, judge.alphabet.size, order).sample(size, (judge.seed, order))
        rows.append(Row(title, judge.scores(drawn, drawn)[0], (judge.seed, order)))
    return rows
