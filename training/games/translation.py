"""Games of images that are made from pictures: in pairs (pix2pix, SRGAN), and both ways without them (CycleGAN).

N batch, C channels, K channels of the pictures, P of a pool.  A sample is (N, C + K, H, W), the image first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from training.conditions import without
from training.divergences import Divergence
from training.game import Batch, Game, Terms
from training.games.two_player import CriticTerm, See, plainly, two_player
from training.networks.translators import Translator

POOL = 50  # past images that a critic may be shown, as in the authors' code


def translation(
    generator: Translator,
    critic: nn.Module,
    divergence: Divergence,
    *,
    content: Mapping[str, Callable[[Tensor, Tensor], Tensor]],
    adversarial: Callable[[Batch], Tensor | float] = lambda batch: 1.0,
    n_critic: int = 1,
    critic_terms: Mapping[str, CriticTerm] | None = None,
    see: See = plainly,
) -> Game:
    """The generator also brings each image near the one that belongs to its picture.

    content: terms by name, of images that were made and images that should have been, (N, C, H, W) each.
    adversarial: what the critic's say counts for in a batch.  Others as for ``two_player``.
    """
    # Apart, since critics with batch norm are among those that may be asked for.
    game = two_player(generator, critic, divergence, n_critic=n_critic, critic_terms=critic_terms, apart=True, see=see)

    def objective(batch: Batch) -> Terms:
        made = generator(batch.latent)
        say = divergence.generator(critic(see(made, batch)))
        pair = without(made, generator.labels), without(batch.real, generator.labels)
        near = {name: term(*pair) for name, term in content.items()}
        return {divergence.name: adversarial(batch) * say, **near}

    return replace(game, objective={**game.objective, "generator": objective})


class Pool(nn.Module):
    """The last images that a generator made, of which a critic is shown some in the place of new ones.

    Half of a batch, as ``mix`` has it, are old ones, and the new ones take their places; until the pool is full all are
    new and enter it.  Shrivastava et al. 2017, section 2.3; of P images, as by Zhu et al. 2017, section 4.
    kept: (P, C, H, W).  count: of images in it.  On several ranks each has a pool of its own.  Where a rule judges a
    batch in halves, those of the last half enter.
    """

    kept: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...], size: int = POOL) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self._entering: tuple[Tensor, Tensor] | None = None

    def shown(self, made: Tensor, mix: Tensor) -> Tensor:
        """What the critic is shown of new images (N, C, H, W); ``take`` lets them in.  mix: (N,), uniform on (0, 1)."""
        size, n = len(self.kept), len(made)
        full = self.count == size
        old = full & (mix >= 0.5)
        place = ((2 * mix - 1) * size).long().clamp(min=0, max=size - 1)
        # While it fills, each has the next place; those beyond the last one stay out.
        place = torch.where(full, place, self.count + torch.arange(n, device=made.device))
        entering = (place.unsqueeze(1) == torch.arange(size, device=made.device)) & (old | ~full).unsqueeze(1)
        # Of several that would enter one place, the last: (P,), counted from 1, 0 for none.
        order = torch.arange(1, n + 1, device=made.device).unsqueeze(1)
        self._entering = made.detach(), (entering * order).amax(dim=0)
        before = self.kept.to(made.dtype)[place.clamp(max=size - 1)]
        return torch.where(old.view(-1, 1, 1, 1), before, made)

    @torch.no_grad()
    def take(self) -> None:
        """Let in what ``shown`` was last asked for."""
        assert self._entering is not None
        made, which = self._entering
        self.kept.copy_(torch.where((which > 0).view(-1, 1, 1, 1), made[(which - 1).clamp(min=0)], self.kept))
        self.count.copy_((self.count + len(made)).clamp(max=len(self.kept)))
        self._entering = None


def cycle(
    generator: Translator,
    back: Translator,
    critic: nn.Module,
    critic_back: nn.Module,
    divergence: Divergence,
    *,
    there_and_back: float,
    identity: float,
    n_critic: int = 1,
    critic_terms: Mapping[str, CriticTerm] | None = None,
    see: See = plainly,
) -> Game:
    """Two generators, from pictures x to images y and back, each against a critic of what it makes.

    Each minimises its critic's loss, with |F(G(x)) - x| + |G(F(y)) - y| times ``there_and_back``, and |G(y) - y|, or
    |F(x) - x|, times ``identity``; means over all numbers of a batch.  No term has x and y of one sample together, and
    so they need not belong together.  Zhu et al. 2017, section 3 and 5.2.

    critic: of images alone.  critic_back: of pictures alone.  Both are shown images of a ``Pool`` too.
    """

    def parts(batch: Batch, forward: bool) -> tuple[Tensor, Tensor]:
        """What is given to one of the two, and what that is to make the like of."""
        image, picture = batch.real[:, : generator.channels], batch.real[:, generator.channels :]
        return (picture, image) if forward else (image, picture)

    def judging(judge: nn.Module, maker: Translator, pool: Pool, forward: bool) -> Callable[[Batch], Terms]:
        def objective(batch: Batch) -> Terms:
            given, wanted = parts(batch, forward)
            shown = pool.shown(maker.translated(batch.latent, given), batch.mix)
            real, fake = see(wanted, batch), see(shown, batch)
            terms = {divergence.name: divergence.critic(judge(real), judge(fake))}
            further = {name: term(judge, real, fake, batch.mix) for name, term in (critic_terms or {}).items()}
            return terms | further

        return objective

    def making(maker: Translator, judge: nn.Module, forward: bool) -> Callable[[Batch], Terms]:
        other = back if forward else generator

        def objective(batch: Batch) -> Terms:
            given, wanted = parts(batch, forward)
            made = maker.translated(batch.latent, given)
            first = l1_loss(other.translated(batch.latent, made), given)
            second = l1_loss(maker.translated(batch.latent, other.translated(batch.latent, wanted)), wanted)
            terms = {
                divergence.name: divergence.generator(judge(see(made, batch))),
                "cycle": there_and_back * (first + second),
            }
            if identity:
                terms["identity"] = identity * l1_loss(maker.translated(batch.latent, wanted), wanted)
            return terms

        return objective

    of_images, of_pictures = (Pool((maker.channels, maker.side, maker.side)) for maker in (generator, back))
    return Game(
        players={"critic": critic, "critic_back": critic_back, "generator": generator, "generator_back": back},
        objective={
            "critic": judging(critic, generator, of_images, forward=True),
            "critic_back": judging(critic_back, back, of_pictures, forward=False),
            "generator": making(generator, critic, forward=True),
            "generator_back": making(back, critic_back, forward=False),
        },
        turns=("critic", "critic_back") * n_critic + ("generator", "generator_back"),
        project={"critic": of_images.take, "critic_back": of_pictures.take},
        memory={"pool of critic": of_images, "pool of critic_back": of_pictures},
    )
