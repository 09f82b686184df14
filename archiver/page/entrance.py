"""Signing in and out, the case that somebody reads for, the language, and what needs no sign-in: style and icon."""

from __future__ import annotations

from hmac import compare_digest
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from flask import Response, make_response, redirect, request, url_for

from archiver.page import forms, sessions
from archiver.page.context import LANGUAGE_COOKIE, page, render, say, see, session, visitor
from archiver.page.signin import Forbidden, OneTimeLink, Person, TrustedProxy

_HERE = Path(__file__).parent
_YEAR_S = 365 * 86_400


def style() -> Response:
    """The one style sheet."""
    return _static("style.css", "text/css")


def icon() -> Response:
    """What stands beside the title."""
    return _static("icon.svg", "image/svg+xml")


def _static(name: str, media_type: str) -> Response:
    response = make_response((_HERE / name).read_bytes())
    response.headers["Content-Type"] = f"{media_type}; charset=utf-8"
    return response


def show_link(token: str) -> Response:
    """A button: what merely looks at a link, as a preview of a chat program does, must not use it up."""
    door = page().door
    if not isinstance(door, OneTimeLink) or not door.fits(token):
        raise _used()
    return render("signin.html", person=door.person, action=url_for("use_link", token=token), form_token="")


def use_link(token: str) -> Response:
    """Sign in by a link, which is used up by that."""
    door = page().door
    person = door.use(token) if isinstance(door, OneTimeLink) else None
    if person is None:
        raise _used()
    return _signed_in(person)


def _used() -> Forbidden:
    return Forbidden(hint="a link works once, and for two minutes: run `archiver review` again")


def show_person() -> Response:
    """Whom the proxy names, and a button to begin."""
    door, person = _proxied()
    return render("signin.html", person=person, action=url_for("begin"), form_token=door.form_token(person))


def begin() -> Response:
    """Begin a session for the person whom the proxy names."""
    door, person = _proxied()
    if not compare_digest(request.form.get("csrf", "").encode(), door.form_token(person).encode()):
        raise Forbidden(hint="this form belongs to another session; open the page again")
    return _signed_in(person)


def _proxied() -> tuple[TrustedProxy, Person]:
    door = page().door
    if isinstance(door, OneTimeLink):
        raise Forbidden(hint="open the link that `archiver review` has printed")
    return door, door.person(request.environ)


def _signed_in(person: Person) -> Response:
    token = sessions.begin(page().store, person.who, person.roles)
    response = see("home")
    response.set_cookie(page().cookie, token, path="/", httponly=True, secure=page().is_encrypted, samesite="Lax")
    return response


def sign_out() -> Response:
    """End the session, and what it looked at."""
    sessions.end(page().store, visitor())
    page().viewings.forget(visitor().row.token_sha256)
    response = render("signedout.html")
    response.delete_cookie(page().cookie, path="/", secure=page().is_encrypted, httponly=True, samesite="Lax")
    return response


def choose_language() -> Response:
    """The other language, and the same screen."""
    path = urlsplit(request.form.get("here", "")).path
    response = make_response(redirect(path if path.startswith("/") and not path.startswith("//") else "/", 303))
    chosen = "en" if request.form.get("language") == "en" else "zh"
    response.set_cookie(
        *(LANGUAGE_COOKIE, chosen, _YEAR_S),
        path="/",
        httponly=True,
        secure=page().is_encrypted,
        samesite="Lax",
    )
    return response


def show_case() -> Response:
    """For which case somebody reads."""
    row = visitor().row
    return render("case.html", case_id=row.case_id or "", reason=row.reason or "", is_demanded=page().needs_case)


def set_case() -> Response:
    """Note the case: it stands beside every look from now on."""
    case_id = forms.demanded(request.form, "case", say("Case id"))
    reason = forms.demanded(request.form, "reason", say("Reason"))
    known = cast("sessions.PageSession", session())
    sessions.set_case(page().store, known, case_id, reason)
    return see("search" if known.may("read") else "home")
