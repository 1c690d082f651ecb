"""Who may ask: bearer keys, stored hashed, and the rule that nobody listens to the world without them.

    laptop:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

A line is NAME:SHA256, the hash of one key; blank lines and lines that begin with # are passed over.  A name may stand
on several lines: to rotate a key, add the new one under the same name, and take the old line out when nobody uses it
any more.  Limits and logs know keys by their names.

SHA-256 without salt or stretching is right here, and would be wrong for passwords: a key is drawn (``new_key``), and
nobody tries 2^256 of them.  bcrypt would cost every request what it costs the attacker.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from model.errors import ConfigurationError

if TYPE_CHECKING:  # drawing a key needs no settings
    from service.settings import Settings

PREFIX = "cwg_"  # lets scanners of repositories and logs find a key that slipped into one
SCHEME = b"bearer "
MAX_CREDENTIALS_BYTES = 2048  # what is longer is no key, and is not worth hashing
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="charwgan"'}  # what an answer 401 must carry

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
LINE = re.compile(rf"({NAME.pattern}):([0-9A-Fa-f]{{64}})")
FORM = "NAME:SHA256, a name of at most 64 letters, digits, dots, dashes or underscores and 64 hexadecimal digits"
DRAW = "`charwgan keys new NAME` draws a key and prints its line"

# Never behind a key, not even the operator's: the pages need to load before they can ask for one, and hold no secret.
PAGES = frozenset({"/", "/docs", "/openapi.json"})
STATIC = "/static/"
# Nor are these: who watches the service has no key.  /metrics tells what the operator did as well (how often, and the
# digests of versions that do not answer yet), so that failed attempts at the operator's key can be seen and alarmed of.
# Whoever must not know figures and digests is to be kept out by what stands in front of the service.
OPEN_PATHS = PAGES | {"/livez", "/readyz", "/startupz", "/metrics", "/version"}


@dataclass(frozen=True)
class Keys:
    """The keys that open the service; false where there are none.  digests: SHA-256 of a key to the key's name."""

    digests: Mapping[bytes, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> Keys:
        """The keys of lines NAME:SHA256.

        Raises ConfigurationError naming the line and its form, but nothing of its content: it may be a key.
        """
        digests: dict[bytes, str] = {}
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            match = LINE.fullmatch(line.strip())
            if match is None:
                raise ConfigurationError(f"line {number} of the keys must be {FORM}: {DRAW}")
            name, digest = match[1], bytes.fromhex(match[2])
            if digests.setdefault(digest, name) != name:
                raise ConfigurationError(f"line {number} of the keys has a key that another name has: {DRAW}")
        if not digests:
            # Else a file that was emptied by mistake would let everyone in.
            raise ConfigurationError(f"the keys must be at least one line {FORM}, got none: {DRAW}")
        return cls(digests)

    @classmethod
    def load(cls, settings: Settings) -> Keys:
        """The keys of the settings, read from their file now; without any the service is open to all."""
        text = settings.secret("keys")
        return cls() if text is None else cls.parse(text)

    @classmethod
    def load_admin(cls, settings: Settings) -> Keys:
        """The operator's key, which the settings hold as it is.  Raises ConfigurationError if there is none."""
        key = settings.secret("admin_key")
        if key is None:
            raise ConfigurationError("admin_key is missing: set CHARWGAN_ADMIN_KEY or CHARWGAN_ADMIN_KEY_FILE")
        return cls({sha256(key.encode()).digest(): "admin"})

    def __len__(self) -> int:
        return len(self.digests)

    def identify(self, authorization: bytes | None) -> str | None:
        """The name of the key in the value of an Authorization header; None: there is none, or it opens nothing.

        The time this takes says nothing of the keys.  What is looked up is a hash, and nobody can choose keys whose
        hashes come closer and closer to a stored one.
        """
        if authorization is None or len(authorization) > MAX_CREDENTIALS_BYTES or authorization[:7].lower() != SCHEME:
            return None
        return self.digests.get(sha256(authorization[7:].strip()).digest())


class Gate:
    """The keys in use.  A reload replaces them by one assignment, so that a request meets the old or the new.

    load: what reads the keys.  always: nothing but the pages is open, not even where there are no keys.
    """

    def __init__(
        self, settings: Settings, load: Callable[[Settings], Keys] = Keys.load, *, always: bool = False
    ) -> None:
        self.settings, self.load, self.always = settings, load, always
        self.keys = load(settings)

    @classmethod
    def of_admin(cls, settings: Settings) -> Gate:
        """The gate before /admin: one key, without which nothing opens but the pages that describe it."""
        return cls(settings, Keys.load_admin, always=True)

    def reload(self) -> None:
        """Read the keys again.  Raises ConfigurationError, and keeps those it has, if that cannot be done."""
        self.keys = self.load(self.settings)

    def identify(self, authorization: bytes | None) -> str | None:
        """As ``Keys.identify``."""
        return self.keys.identify(authorization)

    def needed(self, path: str) -> bool:
        """Whether a request for this path must bring a key."""
        if path in PAGES or path.startswith(STATIC):
            return False
        return self.always or (bool(self.keys) and path not in OPEN_PATHS)


def new_key() -> str:
    """A new key of 256 random bits: cwg_ and 43 letters, digits, dashes and underscores."""
    return PREFIX + secrets.token_urlsafe(32)


def issue(name: str) -> tuple[str, str]:
    """A new key, and the line NAME:SHA256 that lets it in.

    Raises ConfigurationError if the name cannot stand in a line.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigurationError("the name of a key must be at most 64 letters, digits, dots, dashes or underscores")
    key = new_key()
    return key, f"{name}:{sha256(key.encode()).hexdigest()}"


def check_exposure(host: str, keys: Keys, insecure: bool) -> None:
    """Raises ConfigurationError if other machines could ask without a key, and nobody said that they may."""
    if not (keys or insecure or is_loopback(host)):
        raise ConfigurationError(
            f"host must be an address of this machine alone, such as 127.0.0.1, where there are no keys, got {host}: "
            f"give --keys-file ({DRAW}), or --insecure to let everyone in"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
