"""The Dirac-GAN: which ways of training end where the data is, and which go round it for ever."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from training.divergences import minimax, non_saturating, wasserstein
from training.game import Game
from training.lab.figure import Claim, Drawn, Lab, figure
from training.lab.games import NOISE, STEPS, H, away, dirac, path
from training.lab.style import GREEN, RED, panels, plane, spots
from training.penalties import clip_weights, gradient_penalty, r1
from training.updates import Consensus, Simultaneous, UpdateRule


@figure(title="Which ways of training converge", source="Mescheder, Geiger, Nowozin 2018, Figure 3 and Table 1")
def dirac_gan(lab: Lab) -> Drawn:
    """Simultaneous steps of the Dirac-GAN under eight divergences, constraints and cures."""
    penalty = {"penalty": partial(gradient_penalty, weight=0.25)}
    systems: dict[str, tuple[Game, UpdateRule]] = {
        "GAN": (dirac(minimax), Simultaneous()),
        "non-saturating GAN": (dirac(non_saturating), Simultaneous()),
        "WGAN": (dirac(wasserstein), Simultaneous()),
        "WGAN, clipped to ±1": (clipped(dirac(wasserstein), 1.0), Simultaneous()),
        "WGAN-GP": (dirac(wasserstein, critic_terms=penalty), Simultaneous()),
        "instance noise": (dirac(minimax, see=lambda samples, _: samples + NOISE), Simultaneous()),
        "R1, γ = 1": (dirac(minimax, critic_terms={"r1": partial(r1, weight=1.0)}), Simultaneous()),
        "consensus, γ = 1": (dirac(minimax), Consensus(1.0)),
    }
    drawing, axes = panels(4, 2, width=2.5, height=2.5)
    claims = []
    for i, (panel, (name, (game, rule))) in enumerate(zip(axes, systems.items(), strict=True)):
        where, converges = path(game, rule), i >= 5
        end = float(away(where)[-1])
        panel.plot(*where.T, color=GREEN if converges else RED, linewidth=0.9)
        plane(panel, 2.2, x="ψ, critic", y="θ, generator")
        panel.set_title(f"{name}: {end:.2g}")
        spots(panel, (0.0, 0.0))
        text = f"{name[0].upper()}{name[1:]} {'converges' if converges else 'does not converge'}"
        claims.append(Claim(text, f"distance after {STEPS} steps", end, *(("<", 1e-3) if converges else (">", 0.1))))
    caption = (
        f"Simultaneous steps of {H:g} from (1, 1), and how far from the equilibrium they are after {STEPS}. The noise "
        "is of N(0, 1); λ of the penalty is 1/4. A slope held at 1, by clipping or by the penalty, is not 0 where the "
        "generator has arrived, and pushes it on; what makes the slope vanish there lets it stay."
    )
    return Drawn(drawing, caption, tuple(claims))


def clipped(game: Game, bound: float) -> Game:
    """A game whose critic's weights are clipped."""
    return replace(game, project={"critic": clip_weights(game.players["critic"], bound)})
