"""The page as an application: its routes with the rights that they ask for, its templates, and the guard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask
from jinja2 import StrictUndefined

from archiver.page import (
    calendar,
    conversing,
    decisions,
    drafts,
    entrance,
    exports,
    files,
    guard,
    headers,
    home,
    lookbook,
    messages,
    names,
    quarantine,
    searching,
    wording,
)
from archiver.page.access import Right
from archiver.page.context import ReviewPage, show_look

_HERE = Path(__file__).parent


class Route(NamedTuple):
    """One address: what answers there, and which right it asks for."""

    rule: str
    method: str
    name: str
    right: Right
    answer: Callable[..., Any]


ROUTES = (
    Route("/style.css", "GET", "style", "open", entrance.style),
    Route("/icon.svg", "GET", "icon", "open", entrance.icon),
    Route("/signin/<token>", "GET", "link", "open", entrance.show_link),
    Route("/signin/<token>", "POST", "use_link", "open", entrance.use_link),
    Route("/signin", "GET", "sign_in", "open", entrance.show_person),
    Route("/signin", "POST", "begin", "open", entrance.begin),
    Route("/signout", "POST", "sign_out", "home", entrance.sign_out),
    Route("/language", "POST", "language", "home", entrance.choose_language),
    Route("/case", "GET", "case", "home", entrance.show_case),
    Route("/case", "POST", "set_case", "home", entrance.set_case),
    Route("/", "GET", "home", "home", home.show),
    Route("/search", "GET", "search", "read", searching.show),
    Route("/search", "POST", "find", "read", searching.find),
    Route("/conversations", "POST", "conversations", "read", conversing.list_conversations),
    Route("/participants", "POST", "participants", "read", conversing.list_participants),
    Route("/conversation", "POST", "conversation", "read", conversing.open_conversation),
    Route("/message", "POST", "message", "read", messages.open_message),
    Route("/message/raw", "POST", "raw", "bytes", messages.open_raw),
    Route("/message/proof", "POST", "proof", "bytes", messages.download_proof),
    Route("/look/<look_id>", "GET", "look", "read", show_look),
    Route("/look/<look_id>/picture/<sha256>", "GET", "picture", "read", files.show_picture),
    Route("/look/<look_id>/file/<sha256>", "GET", "file", "read", files.download),
    Route("/coverage", "GET", "coverage", "home", calendar.choose),
    Route("/coverage/<app_name>/<source>/<int:year>", "GET", "year", "home", calendar.show_year),
    Route("/coverage/<app_name>/<source>/<day>", "GET", "day", "home", calendar.show_day),
    Route("/quarantine", "GET", "quarantine", "quarantine", quarantine.show),
    Route("/quarantine/<int:number>", "POST", "quarantined", "bytes", quarantine.open_record),
    Route("/exports", "GET", "exports", "decide", exports.show),
    Route("/exports", "POST", "ask_export", "decide", exports.ask),
    Route("/requests/<int:number>", "GET", "request", "decide", decisions.show_request),
    Route("/requests/<int:number>", "POST", "decide", "decide", decisions.decide),
    Route("/drafts/<int:number>", "GET", "draft", "decide", drafts.show),
    Route("/drafts/<int:number>", "POST", "settle", "decide", drafts.settle),
    Route("/lifecycle", "GET", "lifecycle", "decide", decisions.show),
    Route("/lifecycle/holds", "POST", "place_hold", "decide", decisions.place_hold),
    Route("/lifecycle/holds/<int:number>", "GET", "hold", "decide", decisions.show_hold),
    Route("/lifecycle/holds/<int:number>", "POST", "release_hold", "decide", decisions.release_hold),
    Route("/lifecycle/erasures", "POST", "ask_erasure", "decide", decisions.ask_erasure),
    Route("/looks", "GET", "looks", "looks", lookbook.show),
    Route("/looks", "POST", "who_looked", "looks", lookbook.find),
)


def create(review: ReviewPage) -> Flask:
    """The application by WSGI."""
    app = Flask("archiver.page", root_path=str(_HERE), static_folder=None, template_folder="templates")
    app.config |= {
        "MAX_CONTENT_LENGTH": headers.LARGEST_FORM,
        "MAX_FORM_MEMORY_SIZE": headers.LARGEST_FORM,
        "MAX_FORM_PARTS": 100,
        "PROPAGATE_EXCEPTIONS": False,
        "TRAP_HTTP_EXCEPTIONS": False,
    }
    app.extensions["archiver"] = review
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.autoescape = True
    guard.add(app, {route.name: route.right for route in ROUTES})
    for route in ROUTES:
        app.add_url_rule(
            *(route.rule, route.name, route.answer), methods=[route.method], provide_automatic_options=False
        )
    app.jinja_env.filters["role_name"] = names.role_name
    app.context_processor(wording.for_templates)
    return app
