"""What must stand before the first round: torch as it was asked for, the data, the game."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model.errors import ArtifactError, ConfigurationError, RunError
from model.labels import Labels
from training.catalogue import make_game
from training.configuration import Config, DataConfig
from training.data import open_dataset
from training.data.arrays import Images, Points
from training.data.corpus import Corpus
from training.distributed import own_device
from training.loop import Training, choose_device, seed_torch, update_rule
from training.networks.roles import Roles
from training.observer import obeyed
from training.runs import is_run, read_config, read_json
from training.updates import UpdateRule, check_samples_apart

CORPUS = "corpus"


@contextmanager
def torch_as_asked(config: Config) -> Iterator[torch.device]:
    """The configured device, with the configured number of threads for as long as the block lasts.

    Raises ConfigurationError if the device is not there, or if the ranks of this machine have too few of them.
    """
    before = torch.get_num_threads()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    try:
        yield own_device(_device(config.device))
    finally:
        # The next run of this process may ask for none, and then the number is the process's own.
        if config.threads is not None:
            torch.set_num_threads(before)


def _device(name: str) -> torch.device:
    try:
        return choose_device(name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def open_data(config: DataConfig, run: Path | None, ranks: int = 1) -> Corpus | Images | Points:
    """The data of a run.  What can be read only once, standard input or a pipe, is kept in the run's folder.

    run: the run that is started or continued, or None for none.  ranks: how many processes read it.
    Raises as ``open_dataset`` does, RunError if what the run keeps is damaged or no longer fits, and ConfigurationError
    if several ranks would read what can be read only once.
    """
    if run is None:
        return open_dataset(config)
    if is_run(run) and (kept := kept_data(config, run)):
        return kept
    streams = [source for source in config.sources if reads_once(source)]
    if streams and ranks > 1:
        raise ConfigurationError(f"{ranks} ranks cannot all read the stream {streams[0]}: write it to a file first")
    return open_dataset(config, run / CORPUS if streams else None)


def kept_data(config: DataConfig, run: Path) -> Corpus | None:
    """The corpus that a run keeps in its folder, None if it keeps none.

    Raises RunError if it is damaged, or if it would have to be prepared in another way.
    """
    folders = [path.parent for path in (run / CORPUS).glob("*/corpus.json")]
    if not folders:
        return None
    if read_config(run).data != config:
        raise RunError(f"the data of {run} was read from a stream that is gone: its data.* keys cannot be changed")
    digest = read_json(run / "data.json").get("digest")
    for folder in folders:  # a start that came to nothing may have left others
        with suppress(OSError, ValueError, KeyError, TypeError, ArtifactError):
            if (corpus := Corpus.load(folder)).digest == digest:
                return corpus
    raise RunError(f"the data that {run} keeps in {CORPUS}/ is damaged: start another run")


def reads_once(source: str) -> bool:
    """Whether a source is a stream: standard input, or a pipe by its path."""
    path = Path(source)
    try:
        return source == "-" or (path.exists() and not path.is_file() and not path.is_dir())
    except OSError:  # a name may be too long to ask for
        return False


def start(config: Config, dataset: Corpus | Images | Points, device: torch.device) -> tuple[Training, UpdateRule]:
    """The configured game on a dataset at round 0, and its update rule; weights are a function of the seed."""
    seed_torch(device, config.seed)
    game = make_game(Roles(dataset.kind, dataset.shape, config, dataset.conditions.channels), config)
    check_samples_apart(config, game)
    return Training.start(game, config, device), update_rule(config)


def describe(dataset: Corpus | Images | Points) -> list[str]:
    """What the data is, in a few sentences."""
    if isinstance(dataset, Corpus):
        labelled = f"Every string is learned under its label, of which there are {len(dataset.labels)}."
        return [*dataset.report.sentences(), *[labelled] * bool(dataset.labels)]
    kind = "images" if dataset.kind == "image" else "points"
    labelled = f"Every one is learned under its label, of which there are {len(dataset.labels)}."
    if dataset.conditioned and dataset.captions:
        labelled = f"Every one is learned under its caption, a row of {len(dataset.captions)} numbers."
    return [*dataset.notes, f"{len(dataset)} {kind} of shape {dataset.shape}", *[labelled] * dataset.conditioned]


def label_facts(labels: Labels, training: Training) -> dict[str, Any]:
    """What a run on text says of its labels: those that its strings are made of, and whether its critic takes them too.

    Apart from them those that the critic names, where strings are made of none.
    """
    facts: dict[str, Any] = {}
    if made_of := obeyed(training.average.module, labels):
        judged = made_of.judged and bool(getattr(training.game.players["critic"], "labels", 0))
        facts["labels"] = replace(made_of, judged=judged).to_json()
    if labels and made_of is not labels:
        facts["named_labels"] = list(labels.names)
    return facts


def sample_facts(dataset: Images | Points, training: Training) -> dict[str, Any]:
    """What a model of a run on images or points is made by: shape of a sample with its conditions, labels, units."""
    facts: dict[str, Any] = {"shape": list(dataset.shape), "conditions": dataset.conditions.channels}
    if labels := obeyed(training.average.module, dataset.labels):
        facts["labels"] = labels.to_json()
    if dataset.given:
        facts["given"] = dataset.given.to_json()
    if isinstance(dataset, Points):
        facts["units"] = {"offset": float(dataset.units.offset), "scale": float(dataset.units.scale)}
    return facts


def check_decay(config: Config, ranks: int = 1) -> None:
    """Raises ConfigurationError if steps shall fall towards an end that there is not, or that ranks see differently."""
    if config.decay == "none":
        return
    ends = (config.max_rounds, config.max_seconds, config.max_cpu_seconds)
    if all(end is None for end in ends):
        raise ConfigurationError(
            f"decay = {config.decay} needs an end to fall to: set max_rounds, max_seconds or max_cpu_seconds"
        )
    if ranks > 1 and ends[1:] != (None, None):
        raise ConfigurationError(
            f"decay = {config.decay} on {ranks} ranks needs an end in rounds, since each has its own clock: "
            "set max_rounds alone, neither max_seconds nor max_cpu_seconds"
        )


def cautions(config: Config) -> list[str]:
    """What a person may not expect of a configuration, in a few sentences."""
    fields, found = type(config).model_fields, []
    if not update_rule(config).follows_turns and config.n_critic > 1:
        reason = f"under update = {config.update} every player moves once in a round"
        found.append(f"n_critic = {config.n_critic} has no effect: {reason}")
    for key, (reason, idle) in IDLE.items():
        value = getattr(config, key)
        if idle(config) and value != fields[key].default:
            found.append(f"{key} = {value} has no effect: {reason}")
    return found


IDLE: dict[str, tuple[str, Callable[[Config], bool]]] = {
    "consensus": ("ask for update = consensus", lambda config: config.update != "consensus"),
    "consensus_estimator": ("ask for update = consensus", lambda config: config.update != "consensus"),
    "unrolled_lr": ("ask for unrolled above 0", lambda config: not config.unrolled),
    "instance_noise_rounds": ("ask for instance_noise above 0", lambda config: not config.instance_noise),
    "beta1": ("it is Adam's", lambda config: config.optimizer not in ("adam", "adamw")),
    "beta2": ("it is Adam's and RMSProp's", lambda config: config.optimizer in ("adagrad", "sgd")),
}
"""Keys that do nothing beside others: what to do about it, and whether that is so."""
