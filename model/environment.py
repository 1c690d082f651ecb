"""The environment as a whole: a variable that nothing reads is a mistake, and is said to be one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

from model.errors import ConfigurationError

PREFIX = "CHARWGAN_"
# Read in places of their own: the cache of prepared corpora, the client's key.
OTHERS = ("CHARWGAN_CACHE", "CHARWGAN_KEY")
# What Kubernetes and Docker set where a service or a linked container is called charwgan.
FOREIGN = re.compile(r"CHARWGAN_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?|ENV_\w+|NAME)")


def refuse_unknown(environment: Mapping[str, str], known: Collection[str]) -> None:
    """Raises ConfigurationError for a CHARWGAN_ variable that is not known, with the one that it resembles.

    known: the variables of training's keys and of the service's settings.
    """
    known = {*known, *OTHERS}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and not FOREIGN.fullmatch(name):
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            advice = f"did you mean {close[0]}?" if close else "`charwgan train --dry-run` and `config show` list them"
            raise ConfigurationError(f"the environment variable {name} sets nothing: {advice}")
