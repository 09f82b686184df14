"""The stand-in server's callbacks: how they are delivered, and that the receiver earns no ban whatever goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from archiver.callbacks import spool
from archiver.sandbox import CallbackRule, CallbackSender, Faults, Sandbox, chatter
from archiver.sandbox.delivery import CallbackDelivery
from archiver.sources import read_event
from tests.callbacks.posting import TOKEN, serving, spooled

MINUTE = 60_000
APP = "easemob-demo#sandbox"


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_793_500_000_000

    def __call__(self) -> int:
        return self.now_ms


@contextmanager
def answering(status: int, body: bytes = b"") -> Iterator[tuple[str, list[bytes]]]:
    """A receiver that always says the same; its URL, and what it got."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/callback", got
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_failure_is_retried_once_at_once_and_then_dropped() -> None:
    for status, body in ((401, b""), (500, b""), (200, b"x" * 1001)):
        with answering(status, body) as (url, got):
            delivery = CallbackDelivery(url, Clock())
            assert delivery.post(b"a") == "dropped"
            assert got == [b"a", b"a"]
            delivery.close()
    with answering(200, b"x" * 1000) as (url, got):
        delivery = CallbackDelivery(url, Clock())
        assert delivery.post(b"a") == "taken"
        assert got == [b"a"]
        delivery.close()


def test_ninety_failures_in_thirty_seconds_are_a_ban_which_grows() -> None:
    clock = Clock()
    with answering(401) as (url, got):
        delivery = CallbackDelivery(url, clock)
        for ban, minutes in enumerate((5, 10, 15, 20, 25, 25), 1):
            for _ in range(45):
                assert delivery.post(b"a") == "dropped"
            assert delivery.bans == ban
            clock.now_ms += minutes * MINUTE - 1
            assert delivery.post(b"a") == "banned"
            clock.now_ms += 1
        asked = len(got)
        for _ in range(44):
            delivery.post(b"a")
            clock.now_ms += 1000
        assert len(got) == asked + 88, "fewer than ninety in any thirty seconds"
        assert delivery.bans == 6
        delivery.close()


@pytest.fixture
def received(tmp_path: Path) -> Iterator[tuple[Sandbox, str, Path]]:
    """A stand-in server, the URL of a real receiver, and its spool."""
    with Sandbox(60) as server, serving(tmp_path) as served:
        yield server, f"http://127.0.0.1:{served.port}/callback/support/{TOKEN}", tmp_path


def send_all_kinds(sender: CallbackSender, server: Sandbox) -> None:
    records = [row.record for row in server.records]
    for record in records[:20]:
        sender.message(record, offline=["dan"] if record["chat_type"] == "groupchat" else [])
    msg_id = records[0]["msg_id"]
    sender.recall(msg_id, "iris")
    sender.edit(msg_id, "a new text", "iris")
    sender.group("77", "JOIN", "iris", ["bo"])
    sender.group("78", "LEAVE", "bo", ["bo"], room=True)
    for verdict in ("PASS", "REJECT", "EXCHANGE", "RECALL"):
        sender.moderation(msg_id, verdict, "said", "iris", "bo")
    for status in ("pass", "refuse", "replace"):
        sender.keyword_alert(msg_id, status, ["word"], "iris", "bo")
    sender.ack(msg_id, "bo")
    sender.reaction(msg_id, "bo", "heart")
    sender.thread(msg_id, "bo", "in a thread")
    sender.unknown(eventType="tomorrow")


def test_every_kind_is_received_and_read_as_what_it_is(received: tuple[Sandbox, str, Path]) -> None:
    server, url, folder = received
    sender = server.callbacks(url, CallbackRule("one", offline=True), CallbackRule("two"))
    send_all_kinds(sender, server)
    sender.close()
    assert [one.body for one in spooled(folder)] == sender.sent
    events = [read_event(body, APP, [b"one", b"two"]) for body in sender.sent]
    kinds = {(event.kind, event.signed) for event in events}
    assert kinds == {
        *((kind, "signed") for kind in ("message", "recall", "edit", "group", "moderation", "ack", "other")),
        *((kind, "unsigned") for kind in ("reaction", "thread")),
    }
    by_id = {str(row.record["msg_id"]): row.record for row in server.records}
    for event in events:
        if event.kind == "message":
            record = by_id[str(event.msg_id)]
            assert event.at_ms == record["timestamp"]
            if record["chat_type"] != "chat":
                assert event.conversation == record["to"], "also of an offline copy"


def test_lost_double_and_late_callbacks_are_what_the_faults_say(received: tuple[Sandbox, str, Path]) -> None:
    server, url, folder = received
    server.faults = Faults(callback_loss=0.2, callback_twice=0.3, callback_late=0.2)
    sender = server.callbacks(url, CallbackRule("one"))
    for row in server.records:
        sender.message(row.record)
    held = len(sender.sent)
    sender.flush()
    sender.close()
    bodies = [one.body for one in spooled(folder)]
    assert bodies == sender.sent
    assert len(set(bodies)) < len(server.records)
    assert len(bodies) > len(set(bodies))
    assert held < len(bodies)


def test_a_mistyped_secret_never_earns_a_ban(received: tuple[Sandbox, str, Path]) -> None:
    """Ten minutes of the provider's clock, many callbacks a second, none of which any secret here fits."""
    _, url, folder = received
    clock = Clock()
    sender = CallbackSender(url, APP, [CallbackRule("mistyped")], clock_ms=clock)
    for _ in range(600):
        sender.recall("1")
        clock.now_ms += 1000
    sender.replay(sender.sent[0], 100, eventType="flood")
    sender.close()
    assert sender.delivery.bans == 0
    assert sender.delivery.counts == {"taken": 700}
    assert {read_event(one.body, APP, [b"right"]).signed for one in spooled(folder)} == {"wrong"}


def test_a_flood_from_many_threads_is_taken_whole(received: tuple[Sandbox, str, Path]) -> None:
    server, url, folder = received
    delivery = CallbackDelivery(url, server.true_ms)

    def flood(thread: int) -> None:
        for number in range(50):
            delivery.post(f"{thread} {number}".encode())
        delivery.close()

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert delivery.counts == {"taken": 400}
    assert len({one.body for one in spooled(folder)}) == 400
    assert spool.backlog(folder).bytes > 0


def test_the_history_of_an_app_is_sent_with_every_kind(tmp_path: Path) -> None:
    with serving(tmp_path) as receiver, Sandbox(200, 1) as server:
        sender = server.callbacks(f"http://127.0.0.1:{receiver.port}/callback/support/{TOKEN}", CallbackRule("sandbox"))
        records = [row.record for row in server.records]
        assert chatter.send(sender, records, is_stopped=lambda: False) == 200
        sender.close()
    taken = [read_event(one.body, APP, [b"sandbox"]) for one in spooled(tmp_path)]
    assert len(taken) == sender.delivery.counts["taken"] == 220
    kinds = {event.kind for event in taken}
    assert kinds == {"message", "ack", "edit", "recall", "reaction", "moderation", "thread", "group", "other"}


def test_sending_a_history_ends_when_it_is_to_stop(tmp_path: Path) -> None:
    with serving(tmp_path) as receiver, Sandbox(200, 1) as server:
        sender = server.callbacks(f"http://127.0.0.1:{receiver.port}/callback/support/{TOKEN}", CallbackRule("sandbox"))
        records = (row.record for row in server.records)
        assert chatter.send(sender, records, is_stopped=lambda: len(sender.sent) >= 5) == 5
        sender.close()
    assert len(spooled(tmp_path)) == 5
