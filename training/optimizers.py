"""What makes steps of gradients: torch's optimisers by name, in the configured sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from training.configuration import Config

Make = Callable[[Sequence[nn.Parameter], float, Config], Optimizer]

# Fused, all weights in one kernel, where torch has it on every device; RMSprop it has not, Adagrad not on every one.
MAKERS: dict[str, Make] = {
    "adam": lambda parameters, lr, config: Adam(parameters, lr, (config.beta1, config.beta2), fused=True),
    # With torch's weight decay: each step also takes 0.01 lr of every weight.
    "adamw": lambda parameters, lr, config: AdamW(parameters, lr, (config.beta1, config.beta2), fused=True),
    "rmsprop": lambda parameters, lr, config: RMSprop(parameters, lr, alpha=config.beta2),
    "adagrad": lambda parameters, lr, config: Adagrad(parameters, lr),
    "sgd": lambda parameters, lr, config: SGD(parameters, lr, fused=True),
}


def make_optimizer(player: str, parameters: Sequence[nn.Parameter], config: Config) -> Optimizer:
    """The configured optimiser of a player; critics take steps of one size, and all whom they judge of the other.

    beta2 is the decay of the squared gradient for RMSprop too; Adagrad and plain gradient steps have no decays.
    """
    lr = config.lr_critic if player.startswith("critic") else config.lr_generator
    return MAKERS[config.optimizer](parameters, lr, config)
