"""Games of texts and samples: the critic also tells whether they belong together.  Reed et al. 2016.

N batch, Z latent, K numbers that a sample is made of, the first W of which are its text: words, or a label.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from training.conditions import Conditions, beside, without
from training.divergences import Divergence, non_saturating
from training.game import Batch, Game, Terms
from training.games.two_player import CriticTerm, See, plainly

SHIFTS = 8  # how many other samples of a batch are asked for another text


def matching(alpha: float = 1.0) -> Divergence:
    """The logistic losses, fake pairs weighing a half: the other half is ``wrong_text``.

    alpha: the target of right pairs, as in ``smoothed``.  Reed et al. 2016, "Generative adversarial text to image
    synthesis", Algorithm 1.
    """

    def critic(real: Tensor, fake: Tensor) -> Tensor:
        return (alpha * softplus(-real) + (1 - alpha) * softplus(real)).mean() + softplus(fake).mean() / 2

    return replace(non_saturating, critic=critic)


def wrong_text(channels: int, words: int) -> CriticTerm:
    """The critic lowers its score of real samples beside a text of others: 1/2 mean over N of sp(D(x, t')).

    channels: K.  words: W; what follows them, such as a box, stays the sample's own.  A sample counts for nothing that
    has no other text beside it in the batch.  Same source.
    """

    def term(critic: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
        texts, rest = Conditions(channels).of(real).tensor_split([words], dim=1)
        others, wrong = other_texts(texts)
        scores: Tensor = critic(beside(without(real, channels), torch.cat([others, rest], dim=1)))
        return (wrong * softplus(scores)).mean() / 2

    return term


def other_texts(texts: Tensor) -> tuple[Tensor, Tensor]:
    """For each text (N, W) the next one round the batch that is not the same, and whether there is one, (N,).

    It looks at SHIFTS of them; where none is another, the text is returned that there is.
    """
    others, found = texts, torch.zeros(len(texts), dtype=torch.bool, device=texts.device)
    for shift in range(1, min(SHIFTS, len(texts) - 1) + 1):
        candidates = texts.roll(-shift, dims=0)
        new = (candidates != texts).any(dim=1) & ~found
        others, found = torch.where(new.unsqueeze(1), candidates, others), found | new
    return others, found


def interpolated(game: Game, see: See = plainly, beta: float = 0.5) -> Game:
    """The generator also raises the score of samples for texts between two of the data, of which the critic sees none.

    The text beside latent i is beta t_i + (1 - beta) t_(i+1), round the batch.  Same source, Eq. 5 with a generator
    that does not saturate.  see: what the critic is shown.
    """
    generator, critic = game.players["generator"], game.players["critic"]
    latent = cast(int, generator.latent)

    def objective(batch: Batch) -> Terms:
        noise, texts = batch.latent.tensor_split([latent], dim=1)
        between = torch.cat([noise, torch.lerp(texts.roll(-1, dims=0), texts, beta)], dim=1)
        scores = critic(see(generator(between), batch))
        return {**game.objective["generator"](batch), "between": non_saturating.generator(scores)}

    return replace(game, objective={**game.objective, "generator": objective})
