"""The page at work in this process, and people who read it: over real sockets, with the headers that browsers send."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import requests

from archiver.config import Settings, load
from archiver.page import commands
from archiver.page.commands import Opened, PageView
from archiver.page.signin import Person
from archiver.store import installation
from archiver.store.engine import Store, open_store
from archiver.zones import Calendar, parse_zone
from tests.fixtures.archive import Archive
from tests.fixtures.store import open_database

SECRET = "0123456789abcdef0123456789abcdef"
MAIN = '<main id="main">'
SHANGHAI = Calendar(parse_zone("Asia/Shanghai"))
PROXY = """
[review]
listen = "127.0.0.1:0"
url = "https://review.example.com"
secret_file = "{secret}"
readers = ["readers"]
officers = ["officers"]
auditors = ["audit"]
operators = ["ops"]
"""
GROUPS = {"reader": "readers", "officer": "officers", "auditor": "audit", "operator": "ops"}


ON_PAGE = '[lifecycle]\ndecided_in = "page"\n'
"""Requests are made and decided on on the page."""
PAGE_LOGINS: dict[str, str] = {}
"""Who the page is to its database, by the address of that; for the test at work."""


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Browser(requests.Session):
    """Keeps cookies, also those for TLS alone: it ends at the proxy, which these tests leave out."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env, self.kept = False, {}  # type: tuple[bool, dict[str, str]]

    def request(self, method: Any, url: Any, *rest: Any, **more: Any) -> requests.Response:
        headers = dict(more.pop("headers", None) or {})
        if self.kept:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.kept.items())
        more["headers"] = headers
        answer = super().request(method, url, *rest, **more)
        self.cookies.clear()
        for name, morsel in SimpleCookie(answer.headers.get("Set-Cookie", "")).items():
            self.kept[name] = morsel.value
        return answer


class Visitor:
    """Somebody with a browser: keeps cookies, and sends back what the forms of the session hold."""

    def __init__(self, address: str, headers: dict[str, str] | None = None, site: str = "same-origin") -> None:
        self.address = address
        self.session = Browser()
        self.session.headers.update({"Sec-Fetch-Site": site, **(headers or {})})
        self.csrf = ""

    def get(self, path: str, **more: Any) -> requests.Response:
        return self._known(self._asked("GET", path, **more))

    def post(self, path: str, **form: str) -> requests.Response:
        """Send a form, with the token that the last page had."""
        return self._known(self._asked("POST", path, data={"csrf": self.csrf, **form}))

    def _asked(self, method: str, path: str, **more: Any) -> requests.Response:
        answer = self.session.request(method, self.address + path, timeout=60, allow_redirects=False, **more)
        if answer.status_code == 303:  # followed by hand: behind a proxy the address is another one
            return self._asked("GET", "/" + answer.headers["Location"].lstrip("/"))
        return answer

    def _known(self, answer: requests.Response) -> requests.Response:
        if found := re.search(r'name="csrf" value="([^"]+)"', answer.text):
            self.csrf = html.unescape(found[1])
        return answer

    def look(self, path: str, **form: str) -> str:
        """Send a form that leads to a look; gives the address of it."""
        answer = self.session.post(
            self.address + path, data={"csrf": self.csrf, **form}, allow_redirects=False, timeout=60
        )
        assert answer.status_code == 303, (answer.status_code, text_of(answer))
        return str(answer.headers["Location"])


def text_of(answer: requests.Response | str) -> str:
    """What people read of a page."""
    whole = answer if isinstance(answer, str) else answer.text
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", whole.partition(MAIN)[2])).split())


class Serving:
    """A page that answers."""

    def __init__(self, opened: Opened, settings: Settings) -> None:
        self.opened, self.settings = opened, settings
        host, port = opened.bound.getsockname()[:2]
        self.address = f"http://{host}:{port}"
        self.stop = threading.Event()
        self._thread = threading.Thread(target=opened.serve, args=(self.stop,))
        self._thread.start()

    def end(self) -> None:
        self.stop.set()
        self._thread.join()

    def visitor(self, role: str = "officer", who: str = "li", **more: Any) -> Visitor:
        """Somebody who has signed in: by the link, or by way of the proxy."""
        if self.opened.link is not None:
            known = Visitor(self.address, **more)
            path = self.opened.link.removeprefix(self.opened.address)
            known.get(path)
            assert known.post(path).status_code == 200
        else:
            known = Visitor(self.address, proxy_headers(role, who), **more)
            assert known.get("/").status_code == 200
            assert known.post("/signin").status_code == 200
        known.get("/case")
        return known


def proxy_headers(role: str, who: str = "li", **more: str) -> dict[str, str]:
    """What the proxy sends for somebody."""
    groups = ",".join(GROUPS[one] for one in role.split("+"))
    headers = {"Host": "review.example.com", "X-Forwarded-User": who, "X-Forwarded-Groups": groups}
    return headers | {"X-Archiver-Proxy": SECRET} | more


@contextmanager
def serving(
    archive: Archive,
    *,
    role: str = "officer",
    who: str = "li",
    proxy: bool = False,
    clock: Clock | None = None,
    now_ms: Callable[[], int] | None = None,
    language: str = "en",
    more: str = "",
) -> Iterator[Serving]:
    """The page on an archive; `more`: of the configuration."""
    settings, store = opened(archive, proxy=proxy, now_ms=now_ms, more=more)
    timer, view = clock or Clock(), PageView(SHANGHAI, language)
    if proxy:
        assert settings.review is not None
        made = commands.open_behind_proxy(settings, store, settings.review, view, timer)
    else:
        person = Person(who, frozenset(role.split("+")))
        made = commands.open_for_one(settings, store, person, view, timer)
    served = Serving(made, settings)
    try:
        yield served
    finally:
        served.end()
        made.bound.close()
        store.dispose()


def opened(
    archive: Archive, *, proxy: bool, now_ms: Callable[[], int] | None = None, more: str = ""
) -> tuple[Settings, Store]:
    """Settings and store, as the command opens them."""
    place: Path = archive.config.parent / "review.toml"
    secret = archive.config.parent / "proxy.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    section = PROXY.format(secret=secret) if proxy else ""
    if not archive.config.exists():
        archive.write_config()
    config = archive.config.read_text()
    if (login := PAGE_LOGINS.get(archive.database.url)) is not None:
        config = config.replace("postgres@", f"{login}@")
    place.write_text(section + more + config)
    settings = load(place, {}, offline=True)
    if settings.lifecycle is not None:  # as `archiver migrate` writes it
        store = open_database(archive.database)
        with store.write() as tx:
            installation.decide_in(tx, settings.lifecycle.decided_in)
        store.dispose()
    return settings, open_store(settings.database.sqlalchemy_url, now_ms)
