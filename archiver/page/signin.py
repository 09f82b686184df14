"""The two ways in: a link for one person, valid once and for two minutes; or a proxy that says who is there.

The peer's address is compared before any header is read, so waitress' own `trusted_proxy`, which would replace it by
the visitor's, stays unset.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from archiver.config import Review
from archiver.errors import ArchiverError, ConfigurationError

LINK_S = 120.0


class Person(NamedTuple):
    """Who is there, and with which roles."""

    who: str
    roles: frozenset[str]


class Forbidden(ArchiverError):
    """You may not do this."""


@dataclass(slots=True)
class OneTimeLink:
    """The way in for one person at this machine. `clock`: seconds of a clock that nobody sets."""

    person: Person
    clock: Callable[[], float]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _made_s: float = 0.0
    _used: bool = False
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._made_s = self.clock()

    def fits(self, token: str) -> bool:
        """Whether this is the link, and it may still be used."""
        right = hmac.compare_digest(token.encode(), self.token.encode())
        return right and not self._used and self.clock() - self._made_s <= LINK_S

    def use(self, token: str) -> Person | None:
        """Who comes by this link; nobody by one that was used, or is too old."""
        with self._lock:
            if not self.fits(token):
                return None
            self._used = True
        return self.person


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """The way in behind a proxy that signs people in. `secret`: what it sends; None where the peer is enough."""

    section: Review
    secret: str | None
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """Of the form by which a session begins, before there is one."""

    def person(self, environ: Mapping[str, Any]) -> Person:
        """Who is there. Raises Forbidden for another peer, without the secret, without a name or a role."""
        if environ.get("REMOTE_ADDR") not in self.section.peers:
            raise Forbidden
        sent = _header(environ, "X-Archiver-Proxy")
        if self.secret is not None and not hmac.compare_digest(sent.encode("latin-1"), self.secret.encode()):
            raise Forbidden
        who = _text(_header(environ, self.section.user_header))
        groups = _text(_header(environ, self.section.groups_header)).split(",")
        known = self.section.groups
        roles = frozenset(
            role for group in groups if group.strip() in known for role in known[group.strip()].split(",")
        )
        if not who or not who.isprintable() or len(who) > 200 or not roles:
            raise Forbidden
        return Person(who, roles)

    def form_token(self, person: Person) -> str:
        """What the form sends back by which a person begins a session."""
        return hmac.digest(self.key, person.who.encode(), "sha256").hex()


def _header(environ: Mapping[str, Any], name: str) -> str:
    return str(environ.get(f"HTTP_{name.upper().replace('-', '_')}", ""))


def _text(value: str) -> str:
    """Headers are bytes, which WSGI hands on as Latin-1; names of people are UTF-8."""
    return value.encode("latin-1").decode("utf-8", "replace").strip()


def read_secret(path: Path | None) -> str | None:
    """What the proxy sends. Raises ConfigurationError where it cannot be read, or is too short to be a secret."""
    if path is None:
        return None
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise ConfigurationError(f"review.secret_file: {path} cannot be read: {reason}") from None
    if len(text) < 16 or not text.isprintable():
        problem = f"review.secret_file: {path} is not a secret of at least 16 characters"
        raise ConfigurationError(problem, hint="openssl rand -hex 32, without anything beside it")
    return text
