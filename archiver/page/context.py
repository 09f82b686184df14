"""What every screen works with: the archive, how it is entered, and who is asking, in which language."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from flask import Response, current_app, g, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound

from archiver.blobs import Blobs
from archiver.config import Settings
from archiver.errors import UsageError
from archiver.language import language
from archiver.lifecycle.proposals import Asker
from archiver.looks import Looks
from archiver.page.sessions import PageSession
from archiver.page.signin import OneTimeLink, TrustedProxy
from archiver.page.viewings import LookAnswer, Viewable, Viewing, Viewings
from archiver.store import installation
from archiver.store.engine import AnswerLimits, Store
from archiver.view import View
from archiver.zones import Calendar

_MEASURING = AnswerLimits(statement_s=50.0)
"""Less than proxies wait for an answer."""
LANGUAGE_COOKIE = "archiver_language"


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """The page as a whole. `store`: for those who wait for an answer. `site`: scheme and host as browsers see them."""

    store: Store
    settings: Settings
    door: OneTimeLink | TrustedProxy
    site: str
    viewings: Viewings
    calendar: Calendar
    default_language: str
    open_blobs: Callable[[], Blobs] | None

    @property
    def measuring(self) -> Store:
        """For what reads all messages of an app once before somebody decides, and is no search."""
        return self.store.answering(_MEASURING)

    @property
    def host(self) -> str:
        return self.site.partition("://")[2]

    @property
    def is_encrypted(self) -> bool:
        return self.site.startswith("https://")

    @property
    def cookie(self) -> str:
        """The name of the session's cookie. With __Host- no other host of the domain can set it."""
        return "__Host-archiver" if self.is_encrypted else "archiver"

    @property
    def needs_case(self) -> bool:
        return self.settings.review is not None and self.settings.review.require_case


def page() -> ReviewPage:
    """The page that answers this request."""
    return cast("ReviewPage", current_app.extensions["archiver"])


def session() -> PageSession | None:
    """Who asks; None before they have signed in."""
    return cast("PageSession | None", g.get("session"))


def visitor() -> PageSession:
    """Who asks, behind the guard, which lets nobody else come so far."""
    return cast("PageSession", g.session)


def asker() -> Asker:
    """Who asks or decides here, in whose name the request is made."""
    return Asker(visitor().row.who, on_page=True)


def decides() -> bool:
    """Whether requests are made and decided on here: by [lifecycle], or as nobody has said where."""
    with page().store.read() as tx:
        place = installation.decided_in(tx)
    section = page().settings.lifecycle
    return (place or (section and section.decided_in)) in (None, installation.PAGE)


def demand_place() -> None:
    """Raises UsageError where requests are made and decided on by commands."""
    if not decides():
        raise UsageError(say("Requests are made and decided on by commands here."), hint="archiver requests list")


def view() -> View:
    """The language of this browser, and the zone of the page."""
    known = g.get("view")
    if known is None:
        chosen = request.cookies.get(LANGUAGE_COOKIE, "")
        name = chosen if chosen in ("en", "zh") else page().default_language
        known = g.view = View(language(name), page().calendar)
    return cast("View", known)


def say(text: str, /, **values: object) -> str:
    """A text in the language of this browser."""
    return view().language.say(text, **values)


def render(template: str, status: int = 200, **values: Any) -> Response:
    """A page."""
    return make_response(render_template(template, **values), status)


def see(endpoint: str, **values: Any) -> Response:
    """What is seen after a form was taken."""
    return make_response(redirect(url_for(endpoint, **values), 303))


def looks() -> Looks:
    """Notes the looks of whoever asks."""
    row = visitor().row
    return Looks(page().store, row.who, row.case_id, row.reason, via="page")


def open_look(asked: Viewable) -> Response:
    """Ask the archive, note the look, and lead to what came of it."""
    return see("look", look_id=_noted(asked).look_id)


def _noted(asked: Viewable) -> Viewing:
    look_id, answer = str(uuid.uuid4()), asked.read(page())
    if asked.action is not None:
        note(look_id, asked.action, asked.asked(), answer, asked.number)
    g.look_id = look_id
    return page().viewings.keep(look_id, visitor().row.token_sha256, asked, answer)


def note(look_id: str, action: str, filters: Mapping[str, Any], answer: LookAnswer, number: int = 1) -> None:
    """Commit the row; after that, and never before, the answer may be shown."""
    looks().show(action, filters, count=answer.shown, conversations=answer.conversations, page=number, look_id=look_id)


def show_look(look_id: str) -> Response:
    """What a look found: once as it was noted, after that read and noted anew. 404 for anybody else's."""
    viewing = find_viewing(look_id)
    answer = page().viewings.take(viewing)
    if answer is None:
        viewing = _noted(viewing.asked)
        answer = page().viewings.take(viewing)
    if answer is None:
        raise NotFound
    g.look_id = viewing.look_id
    return render(viewing.asked.template, look=viewing, asked=viewing.asked, answer=answer.content)


def find_viewing(look_id: str) -> Viewing:
    """A look of this session. Raises NotFound."""
    viewing = page().viewings.find(look_id, visitor().row.token_sha256)
    if viewing is None:
        raise NotFound
    return viewing
