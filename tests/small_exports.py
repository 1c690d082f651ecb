"""Models of runs of small networks, on data that lies in memory."""

from __future__ import annotations

from pathlib import Path

from small_runs import begin, configured, data_of, rounds

from model.alphabet import Alphabet
from training.catalogue import CATALOGUE
from training.checkpoint import save_checkpoint
from training.configuration import Config
from training.data.dataset import Dataset, Kind
from training.loop import Training
from training.preparation import label_facts, sample_facts
from training.runs import write_json

SYMBOLS = Alphabet("abcd", 5)  # of the text of ``data_of``


def trained(run: Path, variant: str, kind: Kind, **keys: object) -> tuple[Training, Dataset]:
    """A run of two rounds, written to a folder as far as it is exported."""
    if kind == "text" and CATALOGUE[variant].defaults.get("data.condition"):
        keys["data.label"] = "country"
    config, data = configured(variant, **keys), data_of(kind, variant)
    training = begin(config, data)
    rounds(training, config, data, 2)
    write_run(run, training, config, data)
    return training, data


def write_run(run: Path, training: Training, config: Config, data: Dataset) -> None:
    """What a session writes of a run, as far as it is exported."""
    run.mkdir()
    facts = {"digest": data.digest, "kind": data.kind, "train": len(data)}
    if data.kind == "text":
        (run / "tokenizer.json").write_text(SYMBOLS.tokenizer().to_str(), encoding="utf-8")
        facts |= label_facts(data.labels, training)
    else:
        facts |= sample_facts(data, training)
    write_json(run / "data.json", facts)
    write_json(run / "config.json", config.model_dump(mode="json"))
    save_checkpoint(run / "checkpoints", training.state_dict())
