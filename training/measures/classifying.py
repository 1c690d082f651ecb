"""What a critic knows of labels: how many held-out samples it names wrongly, and what a linear model reads off it.

N samples, F features, K labels, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from training.cures import sight
from training.data.arrays import Images, Points, scaled
from training.data.corpus import Corpus
from training.data.few import balanced
from training.data.optional import load_optional
from training.data.resident import one_hot
from training.evaluation.copies import subsample
from training.games.semi_supervised import supervised
from training.layers import Layered
from training.loop import Draws, Training, pace_at, play, seed_torch, update_rule
from training.measures import Finished
from training.networks.roles import Roles
from training.updates import Alternating

MOST = 10_000  # held-out samples that are named
LABELLED = 1000  # samples that a linear model learns from, at most
SLICE = 512
PLACES = 4  # to a side, to which each layer's features are pooled
ITERATIONS = 5000  # of the linear model's solver, at most

Data = Corpus | Images | Points
Stored = NDArray[Any]


def classification_error(run: Finished) -> dict[str, float]:
    """Of held-out samples, the share that the critic of a semi-supervised game names wrongly.

    Beside it ``supervised_error``, that of the same network which learned from the labelled few alone.
    """
    samples, labels = held_out(run.data)
    named = {"classification_error": run.players["critic"], "supervised_error": supervised_alone(run)}
    return {
        name: float(np.mean(in_slices(critic, by_itself(critic), run.data, samples).argmax(axis=1) != labels))
        for name, critic in named.items()
    }


def supervised_alone(run: Finished) -> nn.Module:
    """A network as this critic, after as many moves on labelled samples, drawn and shown as they were to the critic."""
    config, k, device = run.config, len(run.data.labels), device_of(run.players["critic"])
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        network = untrained(run, outputs=k)
        game = supervised(
            network,
            run.players["generator"],
            labels=k,
            labelled=config.labelled,
            seed=config.data.seed,
            moves=config.n_critic if update_rule(config).follows_turns else 1,
            see=sight(config, run.data.kind),
        )
        training = Training.start(game, config, device)
        draws = Draws.of(training, run.data, config, device)
        falling = config.decay == "linear"
        pace = (lambda: pace_at(training.round / max(run.rounds, 1))) if falling else (lambda: 1.0)
        played = play(training, Alternating(), draws, precision=config.precision, say=lambda _: None, pace=pace)
        for _ in islice(played, run.rounds):
            pass
    return network


def linear_errors(run: Finished, labelled: int = LABELLED) -> dict[str, float]:
    """Of held-out samples, the share that a linear model names wrongly which reads the critic's features.

    Beside it that of the same model on the samples themselves, and on the features of a critic that was never trained.
    It learns from ``labelled`` training samples, as many of each label, or from all where there are fewer.
    Nothing where data has no labels, or where the critic takes them.  Radford et al. 2016, section 5.1, whose model is
    a support vector machine, and this one a logistic regression.
    """
    data, critic = run.data, by_itself(run.players["critic"])
    told = int(getattr(critic, "labels", 0))
    if told or data.train_labels is None or data.held_out_labels is None:
        return {}
    most, names = min(labelled, len(data)), len(data.label_names)
    rows = balanced(np.asarray(data.train_labels), most, names, run.config.data.seed)
    few, marks, (samples, labels) = data.train[rows], data.train_labels[rows], held_out(data)
    fresh = untrained(run, outputs=getattr(critic, "outputs", 0))
    read: dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]] = {
        "linear_error": (critic, lambda batch: layer_features(critic, batch)),
        "linear_error_of_samples": (critic, lambda batch: batch.flatten(1)),
        "linear_error_untrained": (fresh, lambda batch: layer_features(by_itself(fresh), batch)),
    }
    found = {}
    for name, (network, give) in read.items():
        model = linear_model().fit(in_slices(network, give, data, few), marks)
        found[name] = float(np.mean(model.predict(in_slices(network, give, data, samples)) != labels))
    return found


def linear_model() -> Any:
    """Logistic regression of features that have been scaled to variance 1."""
    regression = load_optional("sklearn.linear_model", "a linear model").LogisticRegression(max_iter=ITERATIONS)
    scaler = load_optional("sklearn.preprocessing", "a linear model").StandardScaler()
    return load_optional("sklearn.pipeline", "a linear model").make_pipeline(scaler, regression)


def layer_features(critic: nn.Module, samples: Tensor) -> Tensor:
    """The last hidden layer, (N, F); of images all hidden layers, each pooled to 4 x 4 places by its largest values."""
    if samples.dim() != 4 or not isinstance(critic, Layered):
        return cast(Callable[[Tensor], Tensor], critic.features)(samples)
    found = []
    for layer in islice(critic.layers, len(critic.layers) - 1):
        samples = layer(samples)
        if isinstance(layer, nn.LeakyReLU):
            found.append(adaptive_max_pool2d(samples, PLACES).flatten(1))
    return torch.cat(found, dim=1)


def held_out(data: Data) -> tuple[Stored, Stored]:
    """Held-out samples as they are stored, (N, ...), and the positions of their labels, (N,); at most MOST of them."""
    assert data.held_out_labels is not None
    chosen = subsample(len(data.held_out), min(MOST, len(data.held_out)), 0)
    return data.held_out[chosen], np.asarray(data.held_out_labels)[chosen]


@torch.no_grad()
def in_slices(network: nn.Module, give: Callable[[Tensor], Tensor], data: Data, stored: Stored) -> NDArray[np.float32]:
    """What is given of stored samples as networks see them, by themselves, while the network is evaluated."""
    device, training = device_of(network), network.training
    network.eval()
    parts = []
    for start in range(0, len(stored), SLICE):
        part = stored[start : start + SLICE]
        if isinstance(data, Corpus):
            ids, symbols = torch.from_numpy(part.astype(np.int64)).to(device), data.alphabet.size
            parts.append(give(one_hot(ids, symbols=symbols, channels=symbols)))
        else:
            parts.append(give(torch.from_numpy(scaled(part)).to(device)))
    network.train(training)
    return torch.cat(parts).float().cpu().numpy()


def by_itself(critic: nn.Module) -> nn.Module:
    """What a critic is of a sample by itself, without what it says of others."""
    while isinstance(inside := getattr(critic, "critic", None), nn.Module):
        critic = inside
    return critic


def untrained(run: Finished, outputs: int) -> nn.Module:
    """A critic of samples by themselves as it is configured, of weights that are a function of the seed."""
    device = device_of(run.players["critic"])
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        seed_torch(device, run.config.seed)
        roles = Roles(run.data.kind, run.data.shape, run.config, run.data.conditions.channels)
        return roles.critic(outputs=outputs, labels=0).to(device)


def device_of(network: nn.Module) -> torch.device:
    """Where its weights lie."""
    return next(network.parameters()).device
