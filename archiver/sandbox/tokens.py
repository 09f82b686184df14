"""Tokens: given for the client's credentials, good for a time, and refused in the provider's words."""

from __future__ import annotations

import base64
import json
import random
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archiver.sandbox.shelf import render
from archiver.sandbox.wire import SandboxAnswer, SandboxRequest

if TYPE_CHECKING:
    from archiver.sandbox.service import Service

_NEVER = 9_223_372_036_854_775
_WELL_FORMED = re.compile(r"YWMt[\w-]{20,}={0,2}")


@dataclass(slots=True)
class _IssuedToken:
    ends_ms: float
    uses: int = 0
    dead: bool = False


class IssuedTokens:
    """The tokens given so far."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._given: dict[str, _IssuedToken] = {}

    def give(self, ends_ms: float) -> str:
        with self._lock:
            text = "YWMt" + base64.urlsafe_b64encode(self._random.randbytes(33)).decode()
            self._given[text] = _IssuedToken(ends_ms)
        return text

    def find(self, text: str) -> _IssuedToken | None:
        with self._lock:
            return self._given.get(text)

    def kill(self) -> None:
        """Every token given so far is expired from now on."""
        with self._lock:
            for token in self._given.values():
                token.dead = True


def give_token(service: Service, request: SandboxRequest) -> SandboxAnswer:
    """`POST /token`. Refusals as documented; `ttl` in seconds, 0 for a token that never expires."""
    try:
        asked = json.loads(request.body)
    except ValueError:
        return service.error(request, 400, "json_parse", "Unexpected end-of-input: the body is no JSON")
    problem = _problem(service, asked if isinstance(asked, dict) else {})
    if problem:
        return service.error(request, 400, *problem)
    ttl = asked.get("ttl")
    seconds: float = service.faults.token_ttl
    if isinstance(ttl, int) and ttl >= 0:
        seconds = min(seconds, ttl or _NEVER)
    token = service.tokens.give(service.true_ms() + seconds * 1000)
    body = {"access_token": token, "expires_in": int(min(seconds, _NEVER)), "application": service.application}
    return SandboxAnswer(200, render(body))


def _problem(service: Service, asked: dict[str, Any]) -> tuple[str, str] | None:
    if not asked.get("client_id"):
        return "illegal_argument", "client_id must be provided."
    if not asked.get("client_secret"):
        return "illegal_argument", "client_secret must be provided"
    if asked.get("grant_type") != "client_credentials":
        return "invalid_grant", "invalid username or password"
    if asked["client_id"] != service.client_id:
        return "invalid_grant", "client_id does not match"
    if asked["client_secret"] != service.client_secret or service.faults.refuse_tokens:
        return "invalid_grant", "client_secret does not match"
    return None


def refusal(service: Service, request: SandboxRequest, *, bare: bool = False) -> SandboxAnswer | None:
    """The 401 that this request deserves, or None. `bare`: this endpoint's 401 has no description at all."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        return _unauthorized(service, request, bare)
    token = service.tokens.find(text.strip())
    if token is None and not bare:
        known_form = _WELL_FORMED.fullmatch(text.strip())
        description = "Unable to authenticate" + ("" if known_form else " due to corrupt access token")
        return service.error(request, 401, "auth_bad_access_token", description)
    if token is None or token.dead or service.faults.refuse_bearer:
        return _unauthorized(service, request, bare)
    token.uses += 1
    spent = 0 < service.faults.token_requests_valid < token.uses
    if spent or service.true_ms() >= token.ends_ms or service.hits("http_401", request):
        token.dead = True
        return _unauthorized(service, request, bare)
    return None


def _unauthorized(service: Service, request: SandboxRequest, bare: bool) -> SandboxAnswer:
    form = "bare" if bare else service.faults.unauthorized_form
    descriptions = {
        "expired": "Unable to authenticate due to expired access token",
        "oauth": "Unable to authenticate (OAuth)",
    }
    return service.error(request, 401, "unauthorized", descriptions.get(form))
