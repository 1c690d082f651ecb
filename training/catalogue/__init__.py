"""The variants: each one short function from roles to a game.

``entry`` says what an entry is, ``playing`` what many share, each other module holds a family.  A new function in one
of them is a new variant everywhere.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from model.errors import ConfigurationError
from training.catalogue.entry import CATALOGUE, Variant, check_obeyed, find_variant
from training.configuration import Config
from training.cures import cured, sight
from training.game import Game
from training.layers import power_iterated
from training.networks.roles import Roles

__all__ = ["CATALOGUE", "Variant", "check_obeyed", "find_variant", "make_game"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def make_game(roles: Roles, config: Config) -> Game:
    """The configured variant with the configured cures, played by networks for this kind of data.

    Raises ConfigurationError if there is no such variant, if it does not play this kind of data, or if it cannot obey
    what is configured.
    """
    entry = find_variant(config.variant)
    if roles.kind not in entry.kinds:
        raise ConfigurationError(f"variant {entry.name} plays {', '.join(entry.kinds)}, and this data is {roles.kind}")
    return power_iterated(cured(entry.build(roles, config), config, sight(config, roles.kind, roles.labels)))
