"""Signing in: by a link that works once, or by a proxy that is known; and how sessions end."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from archiver.page import sessions
from archiver.store.engine import Store
from tests.fixtures.archive import Archive
from tests.page.browsing import Clock, Serving, Visitor, proxy_headers, serving, text_of

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def link_of(served: Serving) -> str:
    assert served.opened.link is not None
    return served.opened.link.removeprefix(served.opened.address)


def count(archive: Archive) -> int:
    return archive.count("review_sessions")


def test_a_preview_does_not_use_a_link_up_and_a_second_use_fails(pulled: Archive) -> None:
    with serving(pulled) as served:
        link = link_of(served)
        for method in ("GET", "HEAD"):
            preview = Visitor(served.address).session.request(method, served.address + link, timeout=30)
            assert preview.status_code == 200
            assert "Set-Cookie" not in preview.headers
        assert count(pulled) == 0
        first, second = Visitor(served.address), Visitor(served.address)
        assert first.post(link).status_code == 200
        assert count(pulled) == 1
        for answer in (second.post(link), second.get(link), second.get("/")):
            assert answer.status_code == 403
        assert count(pulled) == 1
        assert first.get("/").status_code == 200


def test_a_link_is_too_old_after_two_minutes(pulled: Archive) -> None:
    clock = Clock()
    with serving(pulled, clock=clock) as served:
        clock.seconds += 121
        assert Visitor(served.address).post(link_of(served)).status_code == 403
        assert count(pulled) == 0
    with serving(pulled, clock=clock) as served:
        clock.seconds += 119
        assert Visitor(served.address).post(link_of(served)).status_code == 200


@pytest.mark.full
def test_a_link_used_at_once_by_many_signs_one_in(pulled: Archive) -> None:
    with serving(pulled) as served, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: Visitor(served.address).post(link_of(served)).status_code, range(16)))
    assert sorted(answers) == [200] + [403] * 15
    assert count(pulled) == 1


def test_the_link_is_on_a_random_address_and_its_token_is_new_at_sign_in(pulled: Archive) -> None:
    with serving(pulled) as served:
        assert re.fullmatch(r"http://127\.\d+\.\d+\.\d+:\d+", served.address)
        answer = Visitor(served.address).session.post(
            served.address + link_of(served), headers={"Sec-Fetch-Site": "none"}, allow_redirects=False, timeout=30
        )
        cookie = answer.headers["Set-Cookie"]
        token = re.search(r"archiver=([^;]+)", cookie)
        assert token
        assert len(token[1]) >= 43
        assert token[1] not in link_of(served)
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Path=/" in cookie
        assert "Secure" not in cookie, "plain http, on this machine alone"
        assert pulled.database.value("SELECT token_sha256 FROM review_sessions") == sessions.hashed(token[1])


def test_behind_a_proxy_the_cookie_is_for_tls_and_this_host_alone(pulled: Archive) -> None:
    with serving(pulled, proxy=True) as served:
        known = Visitor(served.address, proxy_headers("officer"))
        known.get("/signin")
        answer = known.session.post(
            served.address + "/signin", data={"csrf": known.csrf}, allow_redirects=False, timeout=30
        )
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-archiver=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}


FORGED = {
    "no secret": {"X-Archiver-Proxy": ""},
    "another secret": {"X-Archiver-Proxy": "0123456789abcdef0123456789abcdee"},
    "nobody": {"X-Forwarded-User": ""},
    "no group": {"X-Forwarded-Groups": ""},
    "groups of others": {"X-Forwarded-Groups": "staff,everybody"},
}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_forged_headers_sign_nobody_in(pulled: Archive) -> None:
    with serving(pulled, proxy=True) as served:
        for name, headers in FORGED.items():
            somebody = Visitor(served.address, proxy_headers("officer") | headers)
            assert somebody.get("/").status_code == 403, name
            assert somebody.post("/signin").status_code == 403, name
    with serving(pulled, proxy=True, more='[display]\nlanguage = "en"\n') as served:
        section = served.settings.review
        assert section is not None
        object.__setattr__(section, "peers", ("10.0.0.5",))
        assert Visitor(served.address, proxy_headers("officer")).get("/").status_code == 403, "from another peer"
    assert count(pulled) == 0


def test_a_session_is_that_of_the_person_whom_the_proxy_names_now(pulled: Archive) -> None:
    with serving(pulled, proxy=True) as served:
        li = served.visitor("officer", "li")
        assert li.get("/search").status_code == 200
        for headers in (proxy_headers("officer", "wang"), proxy_headers("operator", "li")):
            li.session.headers.update(headers)
            assert "Signing in as" in text_of(li.get("/search")), "another person, or other groups: sign in again"
        li.session.headers.update(proxy_headers("officer", "li"))
        assert li.get("/search").status_code == 200


@pytest.mark.full
def test_groups_add_up(pulled: Archive) -> None:
    with serving(pulled, proxy=True) as served:
        both = served.visitor("officer+auditor")
        assert both.get("/looks").status_code == both.get("/exports").status_code == 200
        assert pulled.database.value("SELECT role FROM review_sessions") == "auditor,officer"


@pytest.mark.parametrize(("idle", "used", "stays"), [(29, 0, True), (31, 0, False), (29, 20, False), (29, 19, True)])
def test_sessions_end_by_silence_and_after_ten_hours(store: Store, idle: int, used: int, stays: bool) -> None:
    now = int(time.time() * 1000)
    store._clock = lambda: now
    token = sessions.begin(store, "li", ["officer"])
    for _ in range(used):
        now += 29 * MINUTE_MS
        assert sessions.find(store, token) is not None
    now += idle * MINUTE_MS
    known = sessions.find(store, token)
    assert (known is not None) == stays
    assert sessions.find(store, token + "x") is None


def test_use_is_noted_once_a_minute_at_most(store: Store) -> None:
    now = int(time.time() * 1000)
    store._clock = lambda: now
    token = sessions.begin(store, "li", ["officer"])
    seen = []
    for _ in range(8):
        now += 20_000
        known = sessions.find(store, token)
        assert known is not None
        seen.append(known.row.seen_at)
    assert len(set(seen)) == 3


def test_a_session_is_gone_after_sign_out(pulled: Archive) -> None:
    with serving(pulled) as served:
        li = served.visitor()
        token = li.session.kept["archiver"]
        assert "Signed out" in text_of(li.post("/signout"))
        assert li.session.kept["archiver"] == ""
        li.session.kept["archiver"] = token
        assert li.get("/").status_code == 403
        assert pulled.database.value("SELECT ended_at FROM review_sessions") is not None
