"""Update rules: how the players' losses become steps.  Each plays any game, with any optimiser, on any number of ranks.

v is the joint gradient field: every player's gradient of its own loss.  Only the alternating rule follows the game's
turns; under the others every player moves once in a round, whatever n_critic is.

Where several ranks play one game, each has its part of the batch, and losses are means over samples: the mean of the
ranks' gradients is the gradient of the whole batch.  Of all that a rule knows only ``average``.

Rules keep nothing themselves.  What one must remember lies with the optimisers' state, and is saved with it.
"""

from training.updates.consensus import Consensus, Estimator, check_samples_apart
from training.updates.moves import AverageOverRanks, Draw, Optimizers, UpdateRule, alone
from training.updates.steps import Alternating, Extragradient, Optimistic, Simultaneous

__all__ = [
    "Alternating",
    "AverageOverRanks",
    "Consensus",
    "Draw",
    "Estimator",
    "Extragradient",
    "Optimistic",
    "Optimizers",
    "Simultaneous",
    "UpdateRule",
    "alone",
    "check_samples_apart",
]
