"""[review] from a draft: the page is behind a proxy that says who is there, or it is for one person."""

from __future__ import annotations

from typing import Any

from archiver.config import values
from archiver.config.draft import Draft
from archiver.config.review import ROLES, Review

_BEHIND_A_PROXY = ("url", "peers", "user_header", "groups_header", "secret_file", *ROLES)


def read(draft: Draft, given: dict[str, Any]) -> Review | None:
    """The section, or None where something is wrong with it; the draft has the problems."""
    if "secret_file" in given:
        given["secret_file"] = draft.folder / str(given["secret_file"])
    section = draft.read(Review, ("review",), given)
    if section is None:
        return None
    if section.listen is None:
        for key in _BEHIND_A_PROXY:
            if key in given:
                draft.wrong(("review", key), "says how a proxy reaches the page; add listen, or remove it")
        return section
    if section.url is None:
        draft.wrong(("review", "url"), "is missing; write what browsers see, for example https://review.example.com")
    if not section.groups:
        what = "names nobody; write groups of the proxy into readers, officers or auditors"
        draft.wrong(("review", "officers"), what)
    _demand_known_proxy(draft, section, given)
    return section


def _demand_known_proxy(draft: Draft, section: Review, given: dict[str, Any]) -> None:
    if section.secret_file is not None:
        draft.exposed(("review", "secret_file"), section.secret_file)
    if values.is_loopback(section.host):
        if section.secret_file is None:
            draft.warnings.append("review.secret_file: without it every account of this host can sign in as anybody")
        return
    for key, what in {"peers": "the proxy's addresses", "secret_file": "what the proxy sends"}.items():
        if key not in given:
            draft.wrong(("review", key), f"is missing; beyond loopback the page asks for it: {what}")
