"""What stands before every screen, on every address, for every role: rights, tokens, sites, hosts, sizes, headers."""

from __future__ import annotations

import re
import socket
from itertools import product

import pytest
import requests

from archiver.page.app import ROUTES, Route
from archiver.page.headers import HEADERS
from tests.fixtures.archive import Archive
from tests.page.browsing import ON_PAGE, Visitor, proxy_headers, serving

ROLES = {
    "operator": {"open", "home"},
    "reader": {"open", "home", "read"},
    "officer": {"open", "home", "read", "decide", "quarantine"},
    "auditor": {"open", "home", "read", "quarantine", "bytes", "looks"},
}
"""Who may what, once more: as the document has it."""
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
VALUES = {
    "<token>": "x" * 43,
    "<look_id>": "5f0f5b1e-0000-4000-8000-000000000000",
    "<sha256>": "0" * 64,
    "<app_name>": "easemob-demo%23sandbox",
    "<source>": "cursor",
    "<int:year>": "2026",
    "<day>": "2026-11-01",
    "<int:number>": "99",
}


def path_of(route: Route) -> str:
    path = route.rule
    for name, value in VALUES.items():
        path = path.replace(name, value)
    assert "<" not in path
    return path


PATHS = sorted({path_of(route) for route in ROUTES})
RIGHTS = {(path_of(route), route.method): route.right for route in ROUTES}
RIGHTS |= {(path, "HEAD"): right for (path, method), right in RIGHTS.items() if method == "GET"}


def check_headers(answer: requests.Response) -> None:
    for name, value in HEADERS.items():
        assert answer.headers.get(name) == value, (answer.url, answer.status_code, name)
    assert "script" not in answer.text.lower().replace("description", "")


@pytest.mark.parametrize("decided_in", ["page", pytest.param("database", marks=pytest.mark.full)])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_role_by_address_by_method(pulled: Archive, decided_in: str) -> None:
    unexpected = []
    with serving(pulled, proxy=True, more=ON_PAGE.replace("page", decided_in)) as served:
        for role, allowed in ROLES.items():
            person = served.visitor(role)
            for path, method in product(PATHS, METHODS):
                if path == "/signout" and method == "POST":
                    continue  # it would end the session of this test
                right = RIGHTS.get((path, method))
                data = {"csrf": person.csrf} if method == "POST" else None
                answer = person.session.request(
                    method, served.address + path, data=data, allow_redirects=False, timeout=30
                )
                expected = (405,) if right is None else _expected(right in allowed, path)
                if answer.status_code not in expected:
                    unexpected.append((role, method, path, answer.status_code))
                check_headers(answer)
    assert unexpected == []


def _expected(may: bool, path: str) -> tuple[int, ...]:
    if path.startswith("/signin"):
        return 200, 403  # of the link, and of a form that began before
    return (200, 303, 400, 404) if may else (403,)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_nobody_comes_in_without_a_session(pulled: Archive) -> None:
    with serving(pulled) as served:
        stranger = Visitor(served.address)
        for path, method in product(PATHS, ("GET", "POST")):
            answer = stranger.session.request(method, served.address + path, allow_redirects=False, timeout=30)
            if (right := RIGHTS.get((path, method))) is None:
                assert answer.status_code == 405
            elif right == "open" and not path.startswith("/signin"):
                assert answer.status_code == 200
            else:
                assert answer.status_code == 403, (method, path)
            check_headers(answer)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_form_without_its_token_or_from_elsewhere_is_refused(pulled: Archive) -> None:
    before = {table: pulled.count(table) for table in ("looks", "requests", "hold_events")}
    with serving(pulled, proxy=True, more=ON_PAGE) as served:
        li, wang = served.visitor("officer+auditor", "li"), served.visitor("officer", "wang")
        posts = [path_of(route) for route in ROUTES if route.method == "POST" and "signin/" not in route.rule]
        for path in posts:
            for token in ("", "x", wang.csrf, li.csrf[:-1], li.csrf + "x"):
                answer = li.session.post(
                    served.address + path, data={"csrf": token, "words": "a"}, allow_redirects=False, timeout=30
                )
                assert answer.status_code == 403, (path, token)
                check_headers(answer)
            for site in ("cross-site", "same-site", "", "unknown"):
                answer = li.session.post(
                    served.address + path,
                    data={"csrf": li.csrf, "words": "a"},
                    headers={"Sec-Fetch-Site": site},
                    allow_redirects=False,
                    timeout=30,
                )
                assert answer.status_code == 403, (path, site)
        del li.session.headers["Sec-Fetch-Site"]
        assert li.post("/search", words="a").status_code == 403, "a browser that does not say where the form is from"
        assert li.get("/").status_code == 200, "the first visit may come from anywhere"
    assert {table: pulled.count(table) for table in before} == before


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_foreign_host_is_refused(pulled: Archive) -> None:
    for proxy in (False, True):
        with serving(pulled, proxy=proxy) as served:
            li = served.visitor()
            for host in ("evil.example.com", "localhost", "127.0.0.1", "review.example.com.evil.example", ""):
                answer = li.session.get(served.address + "/style.css", headers={"Host": host}, timeout=30)
                assert answer.status_code == 400, host
                check_headers(answer)
                assert li.session.get(served.address, headers={"Host": host}, timeout=30).status_code == 400


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_large_forms_are_refused_in_words(pulled: Archive) -> None:
    with serving(pulled) as served:
        li = served.visitor()
        for size in (65_536, 300_000, 1_500_000):
            answer = li.session.post(
                served.address + "/search", data={"csrf": li.csrf, "words": "x" * size}, timeout=30
            )
            assert answer.status_code == 413
            for name, value in HEADERS.items():
                assert answer.headers[name] == value
        many = {f"field{number}": "x" for number in range(2_000)}
        assert li.session.post(served.address + "/search", data={"csrf": li.csrf, **many}, timeout=30).status_code < 500
        assert li.get("/").status_code == 200


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_is_no_request_has_the_headers_as_well(pulled: Archive) -> None:
    with serving(pulled) as served:
        host, port = served.address.removeprefix("http://").split(":")
        for sent in (
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        ):
            with socket.create_connection((host, int(port)), 10) as connection:
                connection.sendall(sent)
                answer = connection.recv(65_536).decode()
            assert re.match(r"HTTP/1\.[01] 4\d\d", answer)
            for name, value in HEADERS.items():
                assert f"{name}: {value}" in answer


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_error_of_ours_says_nothing_of_records_and_has_the_headers(
    pulled: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(pulled) as served:
        li = served.visitor()
        pulled.database.run("ALTER TABLE windows RENAME TO elsewhere")
        answer = li.get("/coverage/easemob-demo%23sandbox/cursor/2026")
        assert answer.status_code == 503
        check_headers(answer)
        assert "elsewhere" not in answer.text
        assert "SELECT" not in answer.text
        pulled.database.run("ALTER TABLE elsewhere RENAME TO windows")
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_log_lines_hold_no_address_and_no_word(pulled: Archive, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "archiver.page")
    with serving(pulled) as served:
        li = served.visitor()
        li.post("/search", words="sesame")
        li.get("/nothing/sesame?sesame=1")
    fields = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "answered"]
    assert {"method": "POST", "route": "find", "status": 303} in [
        {name: value for name, value in one.items() if name != "look_id"} for one in fields
    ]
    assert any("look_id" in one for one in fields)
    assert "sesame" not in str([record.__dict__ for record in caplog.records])


def test_a_link_of_another_peer_is_no_way_around_the_proxy(pulled: Archive) -> None:
    with serving(pulled, proxy=True) as served:
        li = Visitor(served.address, proxy_headers("officer"))
        assert li.get("/signin/" + "x" * 43).status_code == 403
