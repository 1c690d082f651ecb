"""Where every update rule goes on games of two numbers, and what momentum makes of it."""

from __future__ import annotations

import itertools

from training.divergences import minimax
from training.lab.figure import Claim, Drawn, Lab, figure
from training.lab.games import STEPS, H, away, bilinear, dirac, path
from training.lab.style import BLUE, COLOURS, GREEN, RED, panels, plane, spots
from training.layering import resolve
from training.loop import update_rule
from training.updates import Alternating, Simultaneous, UpdateRule

RULES = ("simultaneous", "alternating", "consensus", "extragradient", "optimistic")
MOMENTA = (0.0, 0.5, 0.9)
START = 2**0.5  # from the equilibrium: every trajectory begins at (1, 1)


def rule(name: str) -> UpdateRule:
    """The update rule that a configuration calls by that name."""
    return update_rule(resolve({"lab": {"update": name}})[0])


@figure(
    title="Trajectories of the update rules",
    source="Mescheder et al. 2017; Korpelevich 1976; Daskalakis et al. 2018",
)
def rules(lab: Lab) -> Drawn:
    """Every rule on the bilinear game and on the Dirac-GAN, and how far each is after every step."""
    drawing, axes = panels(3, width=3.1)
    ends: dict[str, tuple[float, float]] = {}
    for name, colour in zip(RULES, COLOURS, strict=False):
        line = (0, (4, 3)) if name == "optimistic" else "-"  # nearly the extragradient's way, which shows below it
        paths = path(bilinear(1.0, 1.0), rule(name)), path(dirac(minimax), rule(name))
        for panel, where in zip(axes, paths, strict=False):
            panel.plot(*where.T, color=colour, linewidth=1.1, linestyle=line)
        axes[2].semilogy(away(paths[0]), color=colour, label=name, linestyle=line)
        ends[name] = float(away(paths[0])[-1]), float(away(paths[1])[-1])
    for panel, title, (x, y) in zip(axes, ("bilinear game", "Dirac-GAN"), (("x", "y"), ("ψ", "θ")), strict=False):
        plane(panel, 2.2, x=x, y=y)
        panel.set_title(title)
        spots(panel, (0.0, 0.0))
    axes[2].set(xlabel="steps", ylabel="distance from the equilibrium", title="bilinear game", ylim=(1e-6, 100))
    axes[2].legend(loc="lower right")
    distance = f"distance after {STEPS} steps"
    (apart, apart_in_dirac), (orbit, _) = ends["simultaneous"], ends["alternating"]
    claims = [
        Claim("Simultaneous steps spiral out of the bilinear game", distance, apart, ">", START),
        Claim("Alternating steps orbit: they come no nearer", distance, orbit, ">", 1.0),
        Claim("and go no further", distance, orbit, "<", 2.0),
        Claim("Simultaneous steps leave the Dirac-GAN too", distance, apart_in_dirac, ">", START),
    ]
    for name in RULES[2:]:
        for game, end in zip(("bilinear game", "Dirac-GAN"), ends[name], strict=True):
            claims.append(Claim(f"{name.capitalize()} steps come nearer in the {game}", distance, end, "<", START))
    caption = (
        f"Every rule from (1, 1) with steps of {H:g}, plain gradients, γ = 1 for consensus. The bilinear game is min "
        "over x, max over y of xy; in the Dirac-GAN the data is the point 0, the generator the point θ and the critic "
        "the line ψx."
    )
    return Drawn(drawing, caption, tuple(claims))


@figure(title="Momentum makes it worse", source="Gidel et al. 2019")
def momentum(lab: Lab) -> Drawn:
    """Alternating and simultaneous steps on the bilinear game, with more and more momentum."""
    drawing, axes = panels(3, width=3.1)
    ends: dict[float, tuple[float, float]] = {}
    for m, colour in zip(MOMENTA, (BLUE, GREEN, RED), strict=True):
        alternating = path(bilinear(1.0, 1.0), Alternating(), momentum=m)
        simultaneous = path(bilinear(1.0, 1.0), Simultaneous(), momentum=m)
        axes[0].plot(*alternating[:120].T, color=colour, linewidth=1.1)
        for panel, where in zip(axes[1:], (alternating, simultaneous), strict=True):
            panel.semilogy(away(where), color=colour, label=f"momentum {m:g}")
            panel.set_ylim(1e-4, 1e12)
        ends[m] = float(away(alternating)[-1]), float(away(simultaneous)[-1])
    plane(axes[0], 6.0, x="x", y="y")
    spots(axes[0], (0.0, 0.0))
    axes[0].set_title("alternating, 120 steps")
    for panel, title in zip(axes[1:], ("alternating", "simultaneous"), strict=True):
        panel.set(xlabel="steps", ylabel="distance from the equilibrium", title=title)
        panel.legend(loc="lower right")
    claims = []
    for i, which in enumerate(("Alternating", "Simultaneous")):
        for less, more in itertools.pairwise(MOMENTA):
            measure = f"distance after {STEPS} steps, momentum {more:g} / {less:g}"
            further = ends[more][i] / ends[less][i]
            claims.append(Claim(f"{which} steps go further with more momentum", measure, further, ">", 1.0))
    caption = (
        f"The bilinear game from (1, 1) with steps of {H:g}. Without momentum alternating steps orbit; with it they "
        "spiral out, the faster the more there is. What carries a step through a valley carries a game away from "
        "where it turns."
    )
    numbers = {f"alternating, momentum {m:g}": ends[m][0] for m in MOMENTA}
    return Drawn(
        drawing, caption, tuple(claims), numbers | {f"simultaneous, momentum {m:g}": ends[m][1] for m in MOMENTA}
    )
