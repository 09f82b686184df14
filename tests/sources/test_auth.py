"""One token for all threads, and never a storm of token calls."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from archiver import logs
from archiver.errors import (
    AnswerUnusable,
    CredentialsRefused,
    ProviderUnavailable,
    RequestRefused,
    WrongApplication,
)
from archiver.http import Client
from archiver.sandbox import Faults, Sandbox
from archiver.sources.easemob.auth import Tokens

if TYPE_CHECKING:
    from tests.fixtures.http import Scripted, Time

Make = Callable[..., Tokens]
REFUSED = b'{"error":"unauthorized"}'


@pytest.fixture
def make(server: Scripted, clock: Time) -> Iterator[Make]:
    with ExitStack() as stack:

        def tokens(**more: Any) -> Tokens:
            client = stack.enter_context(Client(server.url(), stop=clock.stop, clock=clock))
            return Tokens(client, "/org/app", "the id", SecretStr("the secret"), clock=clock, **more)

        yield tokens
    logs._secrets.clear()
    logs._renewed.clear()


def granted(server: Scripted, text: str = "YWMt-1", expires_in: object = 1000, **more: Any) -> bytes:
    told = {"access_token": text, "expires_in": expires_in, "application": "8be024f0"} | more
    return server.answer(body=json.dumps(told).encode())


def paths(server: Scripted) -> list[str]:
    return [line.split()[1].removeprefix("/org/app") for line in server.lines]


def bearers(server: Scripted) -> list[str]:
    heads = [asked.split(b"\r\n\r\n")[0].decode().split("\r\n") for asked in server.asked]
    return [line.partition(": Bearer ")[2] for head in heads for line in head if line.startswith("Authorization")]


def test_one_token_for_many_calls(server: Scripted, make: Make) -> None:
    server.script = [granted(server), server.answer()]
    api = make()
    for _ in range(3):
        assert api.fetch("GET", "/a").status == 200
    assert paths(server) == ["/token", "/a", "/a", "/a"]
    assert bearers(server) == ["YWMt-1"] * 3
    asked = json.loads(server.asked[0].partition(b"\r\n\r\n")[2])
    assert asked == {"grant_type": "client_credentials", "client_id": "the id", "client_secret": "the secret"}
    assert b"Authorization" not in server.asked[0]


def test_other_headers_go_along(server: Scripted, make: Make) -> None:
    server.script = [granted(server), server.answer()]
    make().fetch("GET", "/a", headers={"X-A": "1", "Authorization": "Basic x"})
    assert b"X-A: 1\r\n" in server.asked[1]
    assert bearers(server) == ["YWMt-1"]


@pytest.mark.parametrize(("expires_in", "renewed_after"), [(1000, 950), ("1000", 950), (604_800, 604_740), (10, 9.5)])
def test_renewed_before_its_end(
    server: Scripted, make: Make, clock: Time, expires_in: object, renewed_after: float
) -> None:
    server.script = [
        granted(server, expires_in=expires_in),
        server.answer(),
        server.answer(),
        granted(server, "2"),
        server.answer(),
    ]
    api = make()
    api.fetch("GET", "/a")
    clock.now += renewed_after - 0.1
    api.fetch("GET", "/a")
    clock.now += 0.2
    api.fetch("GET", "/a")
    assert paths(server) == ["/token", "/a", "/a", "/token", "/a"]


def test_a_token_without_end_is_used_until_refused(server: Scripted, make: Make, clock: Time) -> None:
    server.script = [granted(server, expires_in=0), server.answer(), server.answer(), server.answer(401, REFUSED)]
    server.script += [granted(server, "YWMt-2"), server.answer()]
    api = make()
    api.fetch("GET", "/a")
    clock.now += 1e9
    api.fetch("GET", "/a")
    api.fetch("GET", "/a")
    assert bearers(server) == ["YWMt-1"] * 3 + ["YWMt-2"]


def test_renewed_once_after_a_401_even_for_what_is_sent_once(server: Scripted, make: Make) -> None:
    server.script = [granted(server), server.answer(), server.answer(401), granted(server, "YWMt-2"), server.answer()]
    api = make()
    api.fetch("GET", "/a")
    assert api.fetch("POST", "/b", json={}, retry=False).status == 200
    assert paths(server) == ["/token", "/a", "/b", "/token", "/b"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_fresh_token_refused_is_a_storm_held_back(server: Scripted, make: Make, clock: Time, status: int) -> None:
    server.script = [granted(server), server.answer(status, REFUSED)]
    api = make()
    with pytest.raises(CredentialsRefused, match=f"answered {status}"):
        api.fetch("GET", "/a")
    for _ in range(10):
        clock.now += 5.9
        with pytest.raises(CredentialsRefused, match="not asked again"):
            api.fetch("GET", "/a")
    assert paths(server) == ["/token", "/a"]
    clock.now += 5.9
    server.script = [granted(server), server.answer()]
    assert api.fetch("GET", "/a").status == 200


def test_after_a_storm_a_working_token_may_be_renewed_at_once(server: Scripted, make: Make, clock: Time) -> None:
    server.script = [granted(server), server.answer(401)]
    api = make()
    with pytest.raises(CredentialsRefused):
        api.fetch("GET", "/a")
    clock.now += 61
    server.script = [granted(server, "2"), server.answer(), server.answer(401), granted(server, "3"), server.answer()]
    api.fetch("GET", "/a")
    assert api.fetch("GET", "/a").status == 200


def test_a_call_refused_under_two_tokens_ends(server: Scripted, make: Make) -> None:
    """Another endpoint accepts each token; this one never does."""
    server.script = [granted(server), server.answer(), server.answer(401), granted(server, "2"), server.answer(401)]
    api = make()
    api.fetch("GET", "/works")
    with pytest.raises(CredentialsRefused):
        api.fetch("GET", "/never")
    with pytest.raises(CredentialsRefused, match="not asked again"):
        api.fetch("GET", "/never")
    assert paths(server) == ["/token", "/works", "/never", "/token", "/never"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_token_call(server: Scripted, make: Make, clock: Time, status: int) -> None:
    server.script = [server.answer(status, b'{"error":"invalid_grant","error_description":"the secret"}')]
    api = make()
    with pytest.raises(CredentialsRefused, match=rf"/token answered {status} \(invalid_grant\)") as caught:
        api.fetch("GET", "/a")
    assert "check" in (caught.value.hint or "")
    clock.now += 59
    with pytest.raises(CredentialsRefused):
        api.fetch("GET", "/a")
    assert paths(server) == ["/token"]
    clock.now += 2
    with pytest.raises(CredentialsRefused):
        api.fetch("GET", "/a")
    assert paths(server) == ["/token", "/token"]


def test_a_403_about_something_else_is_not_about_the_token(server: Scripted, make: Make) -> None:
    server.script = [granted(server), server.answer(403, b'{"error":"forbidden_op"}'), server.answer()]
    api = make()
    with pytest.raises(RequestRefused) as caught:
        api.fetch("GET", "/a")
    assert caught.value.code == "forbidden_op"
    assert api.fetch("GET", "/a").status == 200
    assert paths(server) == ["/token", "/a", "/a"]


def test_a_token_call_that_passes_is_transient(server: Scripted, make: Make) -> None:
    server.script = [server.answer(503), server.answer(429), granted(server), server.answer()]
    assert make().fetch("GET", "/a").status == 200
    server.script = [server.answer(503)]
    with pytest.raises(ProviderUnavailable):
        make().fetch("GET", "/a")
    server.script = [granted(server), server.answer()]
    assert make().fetch("GET", "/a").status == 200


def test_time_bounds_hold_for_token_and_call_together(server: Scripted, make: Make, clock: Time) -> None:
    server.script = [server.answer(503)]
    with pytest.raises(ProviderUnavailable):
        make().fetch("GET", "/a", within_s=4)
    assert sum(clock.waits) <= 4


@pytest.mark.parametrize(
    "more",
    [
        {"access_token": ""},
        {"access_token": "a\r\nX: y"},
        {"access_token": None},
        {"expires_in": True},
        {"expires_in": -1},
        {"expires_in": None},
        {"expires_in": float("nan")},
        {"application": None},
        {"application": ["x"]},
    ],
)
def test_a_token_answer_that_makes_no_sense(server: Scripted, make: Make, more: dict[str, Any]) -> None:
    server.script = [granted(server, **more)]
    with pytest.raises(AnswerUnusable, match="/token: the answer "):
        make().fetch("GET", "/a", give_up_s=0)
    assert set(paths(server)) == {"/token"}


def test_the_application_is_pinned_before_the_token_is_used(server: Scripted, make: Make) -> None:
    def pin(application: str) -> None:
        assert paths(server) == ["/token"]
        raise WrongApplication(application)

    server.script = [granted(server), server.answer()]
    with pytest.raises(WrongApplication, match="8be024f0"):
        make(pin=pin).fetch("GET", "/a")
    assert paths(server) == ["/token"]


def test_neither_token_nor_secret_shows(server: Scripted, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "archiver")
    server.script = [
        granted(server),
        server.answer(),
        server.answer(401),
        granted(server, "YWMt-2"),
        server.answer(401),
    ]
    api = make()
    api.fetch("GET", "/a")
    with pytest.raises(CredentialsRefused) as caught:
        api.fetch("GET", "/a")
    shown = repr(api) + repr(vars(api)) + repr(caught.value) + caplog.text
    assert "renewing the token" in caplog.text
    assert not any(word in shown for word in ("YWMt", "the secret"))
    assert logs.redacted("the secret YWMt-1 YWMt-2") == "*** *** ***"


def test_many_threads_fetch_one_token(server: Scripted, make: Make) -> None:
    server.script = [granted(server), server.answer()]
    api = make()
    ready = threading.Barrier(8)

    def call(_: int) -> int:
        ready.wait()
        return api.fetch("GET", "/a").status

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(8))) == [200] * 8
    assert paths(server).count("/token") == 1


def test_many_threads_renew_a_dead_token_once() -> None:
    with Sandbox(messages=0, seed=1) as sandbox, Client(sandbox.base_url, stop=threading.Event()) as client:
        api = Tokens(client, f"/{sandbox.org}/{sandbox.app}", sandbox.client_id, SecretStr(sandbox.client_secret))
        api.fetch("GET", "/chatmessages")
        sandbox.tokens.kill()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: api.fetch("GET", "/chatmessages").status, range(40)))
        assert answers == [200] * 40
        assert sum(asked.path.endswith("/token") for asked in sandbox.requests) == 2


@pytest.mark.parametrize("faults", [Faults(refuse_tokens=True), Faults(refuse_bearer=True, unauthorized_form="bare")])
def test_the_stand_in_refuses_us(faults: Faults) -> None:
    with Sandbox(messages=0, faults=faults) as sandbox, Client(sandbox.base_url, stop=threading.Event()) as client:
        pinned: list[str] = []
        prefix, secret = f"/{sandbox.org}/{sandbox.app}", SecretStr(sandbox.client_secret)
        api = Tokens(client, prefix, sandbox.client_id, secret, pin=pinned.append)
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                api.fetch("GET", "/chatmessages")
        assert len(sandbox.requests) == (2 if faults.refuse_bearer else 1)
        assert pinned == ([sandbox.application] if faults.refuse_bearer else [])


def test_waiting_threads_share_a_failed_renewal(server: Scripted, make: Make) -> None:
    """Eight threads must not give up one after the other, each for its own half minute."""
    waiting, api = threading.Event(), make()
    at_the_lock = threading.Semaphore(0)

    class Lock:
        """The renewal's own, and who comes to it is counted."""

        lock = api._lock

        def __enter__(self) -> None:
            at_the_lock.release()
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    api._lock = Lock()  # type: ignore[assignment]

    def refuse(of: Scripted, connection: Any) -> None:
        waiting.wait(60)
        connection.sendall(of.answer(503, Retry_After="3600"))

    server.script = [refuse]
    outcomes: list[str] = []

    def call() -> None:
        try:
            api.fetch("GET", "/a")
        except ProviderUnavailable as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert at_the_lock.acquire(timeout=60)
    waiting.set()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert len(server.asked) == 1
