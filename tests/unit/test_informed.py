"""AC-GAN and InfoGAN: a critic that also says what a sample is of, by hand and at its optimum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from small_games import batch_of
from small_runs import CPU, LABELS, Memory, begin, configured, data_of, rounds
from torch import Tensor, nn
from torch.nn.functional import one_hot

from model.alphabet import Alphabet
from model.branches import Branched
from model.errors import ConfigurationError
from model.labels import Labels
from training.conditions import beside
from training.data.dataset import Kind
from training.divergences import non_saturating
from training.export import load_networks
from training.game import Batch, Game
from training.games.informed import information_missed, informed, labels_missed
from training.layers import KERNELS, Layered, MinibatchDiscrimination, Recogniser, alone
from training.loop import Draws
from training.measures.labels import codes_read, counted, named_codes
from training.networks.roles import Roles
from training.penalties import r1

N, Z, K, D = 8, 2, 3, 2


class Line(Branched):
    """Points (N, D): a linear map of the latent and the row after it, with the row beside them if that is a label."""

    def __init__(self, **rows: int) -> None:
        super().__init__(latent=Z, **rows)
        self.output = nn.Linear(Z + K, D, dtype=torch.float64)

    def forward(self, latent: Tensor) -> Tensor:
        points: Tensor = self.output(latent)
        return beside(points, latent[:, Z:]) if self.labels else points


def game_of(*, labels: bool, **further: Any) -> tuple[Game, Branched, Recogniser]:
    """AC-GAN under labels, else InfoGAN, of linear players."""
    torch.manual_seed(0)
    generator = Line(labels=K) if labels else Line(codes=K)
    critic = Recogniser(Layered(nn.Linear(D, 4), nn.Linear(4, 1)), K).double()
    miss = labels_missed("labels", Z, 0.5) if labels else information_missed(Z, K, 0.5)
    of_real = labels_missed("labels_of_real", Z, 0.5) if labels else None
    return informed(generator, critic, non_saturating, miss, miss_real=of_real, **further), generator, critic


def a_batch(*, labels: bool) -> Batch:
    torch.manual_seed(1)
    rows = one_hot(torch.arange(N) % K, K).double()
    real, latent = torch.randn(N, D).double(), torch.randn(N, Z).double()
    return batch_of(beside(real, rows) if labels else real, torch.cat([latent, rows], dim=1))


def cross_entropy(logits: Tensor) -> float:
    """Of samples whose i-th is of class i modulo K, by its definition."""
    shares = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    return -sum(math.log(shares[i, i % K].item()) for i in range(N)) / N


@pytest.mark.parametrize("apart", [False, True])
def test_both_players_of_ac_gan_minimise_the_cross_entropy_of_labels_that_the_critic_does_not_see(apart: bool) -> None:
    game, generator, critic = game_of(labels=True, apart=apart)
    batch = a_batch(labels=True)
    real, fake = batch.real[:, :D], generator(batch.latent)[:, :D]
    scores = critic(real), critic(fake)
    said = (critic.recognise(critic.features(points)) for points in (real, fake))
    of_real, of_fake = (0.5 * cross_entropy(logits) for logits in said)
    found = {player: {k: v.item() for k, v in game.objective[player](batch).items()} for player in game.players}
    assert found["critic"] == pytest.approx(
        {"non_saturating": non_saturating.critic(*scores).item(), "labels": of_fake, "labels_of_real": of_real}
    )
    generators = {"non_saturating": non_saturating.generator(scores[1]).item(), "labels": of_fake}
    assert found["generator"] == pytest.approx(generators)


def test_both_players_of_infogan_minimise_the_bound_on_the_information_with_its_sign_turned() -> None:
    game, generator, critic = game_of(labels=False)
    batch = a_batch(labels=False)
    said = critic.recognise(critic.features(generator(batch.latent)))
    expected = 0.5 * (cross_entropy(said) - math.log(K))
    for player in ("critic", "generator"):
        assert game.objective[player](batch)["information"].item() == pytest.approx(expected)


def test_further_terms_are_of_the_score_alone() -> None:
    game, _, critic = game_of(labels=False, critic_terms={"r1": lambda *of: r1(*of, weight=2.0)})
    slope = critic.critic.layers[1].weight @ critic.critic.layers[0].weight  # type: ignore[union-attr, index, operator]
    found = game.objective["critic"](a_batch(labels=False))["r1"].item()
    assert found == pytest.approx(slope.square().sum().item())


def test_what_is_said_teaches_the_generator_the_layers_below_and_its_own_head_and_not_the_scores() -> None:
    game, generator, critic = game_of(labels=False)
    missed = game.objective["generator"](a_batch(labels=False))["information"]
    own = {"head.weight", "head.bias", "critic.layers.0.weight", "critic.layers.0.bias"}
    named = dict(critic.named_parameters())
    gradients = torch.autograd.grad(missed, list(named.values()), allow_unused=True, retain_graph=True)
    assert {name for name, by in zip(named, gradients, strict=True) if by is not None and by.any()} == own
    assert all(by.any() for by in torch.autograd.grad(missed, list(generator.parameters())))


def test_the_bound_is_0_for_a_critic_that_knows_nothing_and_log_k_for_one_that_is_sure() -> None:
    batch, rows = a_batch(labels=False), one_hot(torch.arange(N) % K, K).double()
    miss = information_missed(Z, K, 2.0)
    assert miss(torch.zeros(N, K, dtype=torch.float64), batch)["information"].item() == pytest.approx(0)
    assert miss(1e4 * rows, batch)["information"].item() == pytest.approx(-2 * math.log(K))
    for scale in (0.1, 1.0, 10.0):
        said = scale * torch.randn(N, K, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        assert miss(said, batch)["information"].item() >= -2 * math.log(K)


def test_the_best_critic_says_the_posterior_and_the_bound_is_the_information_itself() -> None:
    # A binary channel that is right with probability 3/4: I = log 2 - h(1/4).
    right = torch.tensor([[3.0, 1.0], [1.0, 3.0]], dtype=torch.float64) / 4
    codes = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    seen = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0])
    batch = batch_of(torch.zeros(8, 1), torch.cat([torch.zeros(8, Z), one_hot(codes, 2)], dim=1).double())
    found = information_missed(Z, 2, 1.0)(right[seen].log(), batch)["information"].item()
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert -found == pytest.approx(math.log(2) - entropy)


def test_a_coordinate_is_read_off_by_a_gaussian_of_variance_1_around_what_is_said() -> None:
    batch = a_batch(labels=False)
    miss, logits = information_missed(Z, K, 2.0), torch.zeros(N, K, dtype=torch.float64)
    exact = miss(torch.cat([logits, batch.latent[:, :2]], dim=1), batch)["continuous"].item()
    assert exact == pytest.approx(-2 * 2 * 0.5)
    blind = miss(torch.cat([logits, torch.zeros(N, 2)], dim=1), batch)["continuous"].item()
    log_likelihood = torch.distributions.Normal(0.0, 1.0).log_prob(batch.latent[:, :2]).sum(dim=1).mean().item()
    entropy = 2 * 0.5 * math.log(2 * math.pi * math.e)
    assert blind == pytest.approx(-2 * (log_likelihood + entropy))


def test_the_best_critic_of_ac_gan_has_the_classes_of_real_samples_by_their_posterior() -> None:
    """Of one feature whose value is the class, the head's optimum is sure, and its loss goes to 0."""
    rows = torch.eye(K, dtype=torch.float64)
    batch = batch_of(torch.zeros(K, 1), torch.cat([torch.zeros(K, Z), rows], dim=1))
    losses = [labels_missed("x", Z, 1.0)(scale * rows, batch)["x"].item() for scale in (0.0, 1.0, 40.0)]
    assert losses == pytest.approx([math.log(K), math.log(math.e + K - 1) - 1, 0.0])


@pytest.mark.parametrize("kind", ["text", "image", "points"])
@pytest.mark.parametrize("variant", ["ac-gan", "infogan"])
def test_the_critic_takes_no_labels_and_the_generator_takes_rows_into_its_first_layer(variant: str, kind: Kind) -> None:
    config, data = configured(variant, codes=4), data_of(kind, variant)
    training = begin(config, data)
    generator, critic = training.game.players["generator"], training.game.players["critic"]
    k = len(LABELS) if variant == "ac-gan" else 4
    assert isinstance(generator, Branched)
    assert (critic.labels, generator.branches) == (0, 0 if variant == "ac-gan" else 4)
    batch = Draws.of(training, data, config, CPU).batch(0, 0)
    latent = batch.latent.clone().requires_grad_()
    assert latent.shape[1] == config.model.latent + k
    (slopes,) = torch.autograd.grad(generator.eval()(latent).square().sum(), latent)
    assert slopes[:, config.model.latent :].any(dim=0).all()


def test_labels_of_a_batch_are_those_of_its_real_samples() -> None:
    config, data = configured("ac-gan"), data_of("points", "ac-gan")
    batch = Draws.of(begin(config, data), data, config, CPU).batch(3, 1)
    assert torch.equal(batch.latent[:, config.model.latent :], batch.real[:, -len(LABELS) :])


@pytest.mark.parametrize(
    ("variant", "changed", "told"),
    [
        ("infogan", {"critic.pack": 2}, "critic.pack = 2 cannot be had with infogan"),
        ("infogan", {"continuous": 4}, "continuous must be at most model.latent = 3, of which they are a part, got 4"),
        ("infogan", {"generator.mixture": 2}, "generator.mixture = 2 cannot be had with infogan"),
        ("infogan", {"feature_matching": True}, "feature_matching takes the place of the generator's loss"),
        ("ac-gan", {"unrolled": 1}, "unrolled takes the place of the generator's loss"),
        ("ac-gan", {}, "variant ac-gan needs labels"),
        ("gan-int", {"feature_matching": True}, "feature_matching takes the place of the generator's loss"),
        ("gan-int-cls", {"unrolled": 1}, "unrolled takes the place of the generator's loss"),
    ],
)
def test_what_makes_no_sense_is_refused(variant: str, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        begin(
            configured(variant, **changed),
            data_of("points", "infogan" if variant in ("infogan", "ac-gan") and "unrolled" not in changed else variant),
        )


def test_codes_of_labelled_samples_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="infogan cannot be had with labels"):
        begin(configured("infogan"), data_of("points", "ac-gan"))


@pytest.mark.parametrize(
    ("variant", "changed"),
    [("infogan", {"continuous": 2}), ("ac-gan", {"critic.norm": "layer"}), ("infogan", {"label_smoothing": 0.9})],
    ids=str,
)
@pytest.mark.parametrize(
    "cure", ["r1", "instance_noise", "critic.minibatch_discrimination", "generator.virtual_batch_norm"]
)
def test_it_plays_with_cures(variant: str, changed: dict[str, Any], cure: str) -> None:
    config, data = (
        configured(variant, **changed, **{cure: 1.0 if cure in ("r1", "instance_noise") else True}),
        data_of("points", variant),
    )
    for terms in rounds(begin(config, data), config, data, 2):
        assert all(value.isfinite() for value in terms.values())


def test_what_is_said_of_a_sample_does_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    inner = Layered(nn.Linear(D, 4), nn.ReLU(), nn.Linear(4, 1))
    critic = Recogniser(MinibatchDiscrimination(inner), K)
    points = torch.randn(5, D)
    features = critic.features(points)
    assert features.shape == (5, 4 + KERNELS)
    torch.testing.assert_close(critic.recognise(features), critic.head(inner.features(points)), rtol=0, atol=0)
    torch.testing.assert_close(critic.read(features), critic(points))


@pytest.mark.parametrize("variant", ["ac-gan", "infogan"])
def test_what_is_exported_of_text_is_the_score_alone_and_the_strings_of_the_run(variant: str) -> None:
    alphabet = Alphabet("abcd", 5)
    config = configured(variant, codes=3, **({"data.label": "kind"} if variant == "ac-gan" else {}))
    data = data_of("text", variant)
    training = begin(config, data)
    rounds(training, config, data, 2)
    labels = Labels(LABELS.names, LABELS.shares, judged=False) if variant == "ac-gan" else Labels.of_branches(3)
    generator, critic = load_networks(config, alphabet, training.state_dict(), labels)
    assert (generator.labels, generator.branches, generator.form) == (0, 3, {"codes": 3})
    latent = torch.from_numpy(labels.rows(0, 0, 7, config.model.latent))
    whole = training.average.module(latent)
    torch.testing.assert_close(generator(latent), whole[:, :, : alphabet.size], rtol=0, atol=0)
    trained = training.game.players["critic"]
    text = whole[:, :, : alphabet.size].detach()
    torch.testing.assert_close(critic.scores(text), trained(text).detach())
    assert alone(trained, alphabet.size).labels == 0


def test_codes_are_given_the_labels_by_which_most_samples_are_right() -> None:
    # Code 0 has most of label 1, but taking it leaves codes 1 and 2 with less: 5 + 6 + 4 beats 7 + 6 + 0.
    counts = np.array([[5, 7, 0], [0, 0, 6], [0, 4, 0]])
    assert named_codes(counts).tolist() == [0, 2, 1]
    assert named_codes(np.array([[9, 0], [8, 1], [0, 3]])).tolist() == [0, -1, 1]
    assert named_codes(np.array([[1, 5, 2]])).tolist() == [1]


def test_samples_are_counted_by_code_and_label() -> None:
    codes, labels = np.array([0, 0, 2, 2, 2]), np.array([1, 1, 0, 1, 0], dtype=np.uint16)
    assert counted(codes, labels, 3, 2).tolist() == [[0, 2], [0, 0], [2, 1]]


def test_codes_are_read_off_images_as_the_critic_is_at_work_which_is_left_as_it_was() -> None:
    config = configured("infogan", codes=4, **{"critic.norm": "batch"})
    torch.manual_seed(0)
    critic = Recogniser(Roles("image", (1, 8, 8), config).critic(), 4 + 2)
    images = torch.randn(10, 1, 8, 8)
    before = {name: tensor.clone() for name, tensor in critic.state_dict().items()}
    read = codes_read(critic, images.numpy(), 4)
    assert critic.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in critic.state_dict().items())
    each = [codes_read(critic, image[None].numpy(), 4)[0] for image in images]
    assert read.tolist() == each
    assert max(each) < 4


def four_corners() -> Memory:
    """Points close to the corners of a square."""
    random = torch.Generator().manual_seed(0)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    return Memory("points", corners.repeat(64, 1) + 0.05 * torch.randn(256, 2, generator=random))


def test_codes_of_infogan_come_to_be_the_clusters_that_points_have() -> None:
    data = four_corners()
    config = configured(
        "infogan", codes=4, lr_generator=2e-3, lr_critic=2e-3, batch_size=64, n_critic=1,
        **{"model.width": 32, "model.depth": 2},
    )  # fmt: skip
    training = begin(config, data)
    terms = rounds(training, config, data, 300)[-1]
    # Half of what can be known, log 4; without the term nothing is.
    assert terms["generator/information"] < -0.5 * math.log(4)
    critic = training.game.players["critic"]
    assert isinstance(critic, Recogniser)
    with torch.no_grad():
        read = critic.recognise(critic.features(data.samples)).argmax(dim=1).numpy()
    counts = counted(read, (np.arange(256) % 4).astype(np.uint16), 4, 4)
    assert counts[np.arange(4), named_codes(counts)].sum() > 0.5 * 256
