"""What stands before every screen: the host, the size, who is there, that they meant it, and that they may.

And what goes with every answer, errors included: the headers by which a browser runs no script, loads nothing from
elsewhere, keeps nothing, and shows the page within no other.
"""

from __future__ import annotations

import hmac
import logging
import traceback

from flask import Flask, Response, g, make_response, request
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from archiver.errors import (
    ArchiveIncomplete,
    ArchiverError,
    DatabaseRefused,
    DatabaseUnavailable,
    LookRefused,
    QueryTooLong,
    TryAgainLater,
    UsageError,
)
from archiver.page import sessions
from archiver.page.access import Right
from archiver.page.context import page, render, say, see, session, view
from archiver.page.headers import HEADERS, LARGEST_FORM
from archiver.page.reading import NoMessage
from archiver.page.sessions import PageSession
from archiver.page.signin import Forbidden, OneTimeLink, Person
from archiver.store import installation

log = logging.getLogger("archiver.page")

_READING = ("GET", "HEAD")
_MEASURES = ("settle", "draft", "request", "ask_erasure")
"""Routes that read all messages of an app."""
_SHOWS = ("read", "bytes")
"""Rights whose screens show what people wrote."""


def add(app: Flask, needs: dict[str, Right]) -> None:
    """Put the guard before every route; `needs`: the rights that routes ask for, by their names."""

    @app.before_request
    def guard() -> Response | None:
        _demand_host()
        if (request.content_length or 0) > LARGEST_FORM:
            raise RequestEntityTooLarge
        if request.endpoint is None:
            raise request.routing_exception or NotFound()
        return _enter(needs[request.endpoint])

    app.after_request(_finish)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ArchiverError, _our_error)
    app.register_error_handler(Exception, _unexpected)


def _demand_host() -> None:
    if request.host != page().host:
        raise BadRequest


def _enter(right: Right) -> Response | None:
    """Let somebody come as far as the screen. A response: where they have to go first."""
    person = _person()
    if right == "open":
        if request.method not in _READING:
            _demand_same_site()
        return None
    visit = _session(person)
    if visit is None:
        if request.method in _READING and person is not None:
            return see("sign_in")
        raise Forbidden(hint=remedy(person))
    g.session = visit
    if request.method not in _READING:
        _demand_same_site()
        _demand_token(visit)
    if not visit.may(right):
        raise Forbidden(hint="your role does not include this; the operator of the page gives roles")
    if right in _SHOWS and page().needs_case and not visit.has_case:
        return see("case")
    if right in _SHOWS:
        _demand_erased()
    return None


class RestoredArchive(ArchiveIncomplete):
    """Erased messages are in this restored database again."""


def _demand_erased() -> None:
    """Nothing is shown of a restored database that holds erased messages again."""
    with page().store.read() as tx:
        known = installation.read(tx)
    if known is not None and known.reapply_since_ms is not None:
        raise RestoredArchive(hint="archiver erase reapply")


def remedy(person: Person | None) -> str:
    if person is None:
        return "open the link that `archiver review` has printed; where it was used, run that again"
    return "your session has ended; open the home page to sign in again"


def _person() -> Person | None:
    """Whom the proxy names; None where there is no proxy. Raises Forbidden."""
    door = page().door
    return None if isinstance(door, OneTimeLink) else door.person(request.environ)


def _session(person: Person | None) -> PageSession | None:
    """The session of the cookie; behind a proxy that of the person whom it names now, with the roles it says now."""
    token = request.cookies.get(page().cookie, "")
    known = sessions.find(page().store, token) if token else None
    if known is not None and person is not None and (person.who, person.roles) != (known.row.who, known.roles):
        return None
    return known


def _demand_same_site() -> None:
    """Browsers say where a form comes from, and no page of another site can have them say otherwise."""
    if request.headers.get("Sec-Fetch-Site") not in ("same-origin", "none"):
        raise Forbidden(hint="send the form from this page itself, with a browser of today")


def _demand_token(visit: PageSession) -> None:
    if not hmac.compare_digest(request.form.get("csrf", "").encode(), visit.row.csrf.encode()):
        raise Forbidden(hint="this form belongs to another session; open the page again")


def _finish(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    fields = {"method": request.method, "route": request.endpoint, "status": response.status_code}
    if look_id := g.get("look_id"):
        fields["look_id"] = look_id
    log.info("answered", extra={"fields": fields})
    return response


def _http_error(error: HTTPException) -> Response:
    code = error.code or 500
    response = problem(code, *_in_words(code))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _in_words(code: int) -> tuple[str, str]:
    words = {
        400: (say("This request cannot be understood"), say("Begin again at the home page.")),
        404: (
            say("There is nothing here"),
            say("What somebody looked at is shown to that session alone, for 30 minutes. Search again."),
        ),
        405: (say("This address is not for that"), say("Use the forms of this page.")),
        413: (say("That is too much"), say("A form may have at most 64 KiB.")),
    }
    return words.get(code, (say("Something failed"), say("The operator of the page finds more in its log.")))


def _our_error(error: ArchiverError) -> Response:
    """Errors of ours quote no record and no SQL; what somebody typed may stand in those about usage."""
    advice = view().language.remedy(error.hint) if error.hint else ""
    if isinstance(error, Forbidden):
        return problem(403, say("You may not do this"), advice)
    if isinstance(error, RestoredArchive):
        log.error("%s", error)
        text = say("The database was restored, and erased messages are in it again. Nothing is shown.")
        return problem(503, say("This cannot be shown now"), f"{text}\n{advice}")
    if isinstance(error, QueryTooLong):
        seconds = 50 if request.endpoint in _MEASURES else 10
        return problem(503, say("This takes longer than {seconds} seconds", seconds=seconds), advice)
    if isinstance(error, DatabaseUnavailable):
        log.warning("%s", error)
        text = say("Somebody else is writing into the archive. Nothing was shown. Try again in a moment.")
        return problem(503, say("Busy: try again"), text)
    if isinstance(error, LookRefused | DatabaseRefused):
        log.error("%s", error)
        text = say("Nothing is shown without a row that says who looked at it, and that row could not be written.")
        return problem(503, say("This look could not be noted"), text)
    if isinstance(error, NoMessage):
        return problem(400, say("That cannot be done"), say("The archive has no message of this id."))
    text = f"{view().language.error(str(error))}\n{advice}".strip()
    if type(error) is UsageError or isinstance(error, ArchiveIncomplete):
        return problem(400, say("That cannot be done"), text)
    if type(error) is TryAgainLater:
        return problem(503, say("That cannot be done yet"), text)
    log.error("%s", error)
    return problem(500, *_in_words(500))


def _unexpected(error: Exception) -> Response:
    """What an exception says may be a text of a record: its kind is logged, and where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    log.error("a request failed: %s at %s:%s", type(error).__name__, frame.filename, frame.lineno)
    return problem(500, *_in_words(500))


def problem(code: int, title: str, text: str) -> Response:
    """An error in words."""
    try:
        return render("error.html", code, title=title, text=text, signed_in=session() is not None)
    except Exception as error:  # the edge: an error page that fails is still an answer
        log.error("an error page failed: %s", type(error).__name__)
        return make_response("Something failed.", 500)
