"""The hourly source against the stand-in server: links, files, and everything that can become of an hour."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from archiver.errors import (
    AnswerUnexpected,
    AnswerUnusable,
    ArchiverError,
    CredentialsRefused,
    FileMissing,
    HourMissing,
    LeaseLost,
    ProviderUnavailable,
    QuotaExceeded,
    RequestRefused,
    WalkFailed,
)
from archiver.http import Answer, Client, DownloadLimits, Limits, SignedLink, download
from archiver.model import HOUR_MS, Pass, Source, Step, Window
from archiver.sandbox import Faults, Sandbox
from archiver.sources.easemob.auth import Tokens
from archiver.sources.easemob.hourly import ANSWERS, HourAnswer, HourlySource, read_answer
from tests.fixtures.http import Scripted

LO = 1_788_998_400_000  # 2026-09-10T08:00+08:00
HOUR = Window(LO, LO + HOUR_MS)
BEFORE, NEXT = Window(LO - HOUR_MS, LO), Window(LO + HOUR_MS, LO + 2 * HOUR_MS)
NAME = "2026091008"
EIGHT = 8 * HOUR_MS
FILE = "/history/"


class World:
    """A server with ten messages in one hour, asked three hours after its beginning, and the source that reads it."""

    def __init__(self, stack: ExitStack, **faults: Any) -> None:
        self.now_ms = LO + 3 * HOUR_MS
        settings = {"hour_growth": 0.0, **faults}
        self.server = stack.enter_context(Sandbox(0, start_ms=LO, faults=Faults(**settings), clock=lambda: self.now_ms))
        self.stop = threading.Event()
        limits = Limits(give_up_s=0.3, longest_wait_s=0.01, deadline_s=5)
        client = stack.enter_context(Client(self.server.base_url, stop=self.stop, limits=limits))
        secret = SecretStr(self.server.client_secret)
        self.tokens = Tokens(client, f"/{self.server.org}/{self.server.app}", self.server.client_id, secret)
        self.limits = DownloadLimits(stall_s=0.25, total_s=10)
        self.seconds = 0.0
        for number in range(10):
            self.say(number, LO + number * 60_000)

    @property
    def faults(self) -> Faults:
        return self.server.faults

    def say(self, number: int, stamp: int) -> None:
        payload = {"bodies": [{"type": "txt", "msg": f"嗨 {number}"}]}
        names = {"from": "ada", "to": "hugo", "chat_type": "chat", "type": "chatmessage"}
        self.server.add({"msg_id": str(number), "timestamp": stamp, **names, "payload": payload}, visible_ms=stamp)

    def source(self, page_size: int = 4, **more: Any) -> HourlySource:
        def fetch_link(hour: str) -> HourAnswer:
            return self.tokens.fetch_as(read_answer, "GET", f"/chatmessages/{hour}", expect=ANSWERS)

        return HourlySource(
            app="org#app",
            passes=(Pass(1, 24 * HOUR_MS),),
            retention_ms=72 * HOUR_MS,
            page_size=page_size,
            offset_ms=EIGHT,
            fetch_link=fetch_link,
            download=lambda link, into, progress: download(
                link, into, stop=self.stop, limits=self.limits, progress=progress
            ),
            clock_ms=lambda: self.now_ms,
            clock=lambda: self.seconds,
            **more,
        )

    def walk(self, hour: Window = HOUR, page_size: int = 4, **more: Any) -> list[Step]:
        return list(self.source(page_size, **more).walk(hour))

    def links(self) -> int:
        return self.server.count(f"/chatmessages/{NAME}")

    def downloads(self) -> int:
        return self.server.count(FILE)


Start = Callable[..., World]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda **faults: World(stack, **faults)


@pytest.fixture
def world(start: Start) -> World:
    return start()


def ids(steps: list[Step]) -> list[str]:
    return [message.msg_id for step in steps for message in step.page.messages]


ALL = [str(number) for number in range(10)]


def test_an_hour_is_read_page_by_page(world: World) -> None:
    source: Source = world.source()
    steps = list(source.walk(HOUR, resume_ms=None, order_trusted=True, progress=lambda _: None))
    assert ids(steps) == ALL
    assert [step.page.received for step in steps] == [4, 4, 2]
    assert [step.end for step in steps] == ["", "", "exhausted"]
    assert {(step.progress_ms, step.ordered) for step in steps} == {(None, True)}
    assert {step.page.server_ms for step in steps} == {world.now_ms}
    assert (world.links(), world.downloads()) == (1, 1)
    first = steps[0].page.messages[0]
    assert (first.timestamp_ms, first.sender, first.direction) == (LO, "ada", "outgoing")


def test_the_digest_of_the_file_as_it_was_downloaded(world: World) -> None:
    steps = world.walk()
    raws = b"".join(message.raw + b"\n" for step in steps for message in step.page.messages)
    assert {step.file_sha256 for step in steps} == {hashlib.sha256(gzip.compress(raws, 6, mtime=0)).hexdigest()}
    assert (
        steps[0].page.sha256 == hashlib.sha256(b"".join(message.raw for message in steps[0].page.messages)).hexdigest()
    )


def test_resuming_and_distrust_change_nothing(world: World) -> None:
    assert list(world.source().walk(HOUR, resume_ms=LO + 5000, order_trusted=False)) == world.walk()


def test_an_hour_in_which_nobody_wrote(world: World) -> None:
    (step,) = world.walk(BEFORE)
    assert (step.page.received, step.end, step.ordered) == (0, "exhausted", True)
    assert step.page.server_ms == world.now_ms
    assert step.file_sha256 is None
    assert world.downloads() == 0


@pytest.mark.parametrize("why", ["early", "unstored", "expired"])
def test_a_missing_file_is_told_with_the_servers_time(world: World, why: str) -> None:
    if why == "unstored":
        world.faults.hour_unstored = NAME
    else:
        world.now_ms = HOUR.hi_ms + {"early": 10 * 60_000, "expired": 73 * HOUR_MS}[why]
    with pytest.raises(HourMissing, match=f"no file for the hour {NAME}") as caught:
        world.walk()
    assert caught.value.server_ms == world.now_ms
    assert caught.value.exit_code == 75


def test_an_early_404_looks_like_an_empty_hour(world: World) -> None:
    """What it is worth is decided by the lag of the pass, from the server's time that comes with it."""
    world.faults.hour_early_404 = True
    world.now_ms = HOUR.hi_ms + 60_000
    (step,) = world.walk()
    assert (step.page.received, step.end, step.page.server_ms) == (0, "exhausted", world.now_ms)


SHAPES = [
    {"hour_members": True},
    {"hour_inflated": True},
    {"hour_encoded": True},
    {"hour_crlf": True},
    {"hour_bom": True},
    {"hour_blank_lines": True},
    {"hour_glued": True},
    {"hour_string_timestamps": True},
    {"hour_outer_from": True},
    {"hour_ext_absent": True},
    {"hour_inflated": True, "hour_encoded": True, "hour_crlf": True, "hour_bom": True},
    {"hour_members": True, "hour_encoded": True, "hour_glued": True, "hour_blank_lines": True},
]


@pytest.mark.parametrize("shape", SHAPES, ids="+".join)
def test_every_shape_of_a_file(start: Start, shape: dict[str, Any]) -> None:
    plain, shaped = start().walk(), start(**shape).walk()
    assert ids(shaped) == ALL
    for one, other in zip(plain, shaped, strict=True):
        for left, right in zip(one.page.messages, other.page.messages, strict=True):
            assert left.digest == right.digest
            assert (left.sender, left.recipient, left.timestamp_ms) == (
                right.sender,
                right.recipient,
                right.timestamp_ms,
            )


def test_a_label_of_encoding_on_plain_text_is_a_label(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    world = start(hour_inflated=True)
    monkeypatch.setattr(Sandbox, "answer", labelled(Sandbox.answer))
    assert ids(world.walk()) == ALL


def labelled(answer: Callable[..., Any]) -> Callable[..., Any]:
    def changed(self: Sandbox, request: Any) -> Any:
        found = answer(self, request)
        if request.host == "files":
            found.headers["Content-Encoding"] = "gzip"
        return found

    return changed


def test_a_bad_line_is_set_aside_with_its_bytes(start: Start) -> None:
    for more in ({}, {"hour_crlf": True}, {"hour_members": True}, {"hour_inflated": True}):
        steps = start(hour_bad_line=True, **more).walk()
        assert ids(steps) == ALL
        (reject,) = (reject for step in steps for reject in step.page.rejects)
        assert reject.raw == b'{"chat_type":"chat","payload":{"bodies":[{"msg":"cut of'
        assert reject.reason == "not valid JSON"


def test_duplicates_come_as_they_stand(start: Start) -> None:
    assert ids(start(hour_duplicates=True).walk()) == [*ALL, "0", "7"]


def test_a_cut_file_is_fetched_again_behind_a_fresh_link(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = start(hour_cut=1.0, times=2)
    assert ids(world.walk()) == ALL
    assert (world.links(), world.downloads()) == (3, 3)
    assert caplog.text.count("the file was cut off; a fresh link is asked for") == 2


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ({"hour_cut": 1.0}, "the file was cut off"),
        ({"hour_cut": 1.0, "hour_inflated": True}, "ends within a record"),
        ({"cut_body": 1.0}, "the connection broke off"),
        ({"cut_unframed": 1.0}, "the file was cut off"),
        ({"cut_unframed": 1.0, "hour_inflated": True}, "neither packed nor plainly whole"),
        ({"html_200": 1.0}, "neither packed nor plainly whole"),
        ({"http_502_html": 1.0}, "answered 502"),
        ({"reset": 1.0}, "the connection broke off"),
    ],
)
def test_a_file_that_is_never_whole_is_given_up(start: Start, faults: dict[str, Any], told: str) -> None:
    world = start(only=FILE, **faults)
    world.say(1000, LO)  # or half of the text would be half of its lines
    with pytest.raises(ProviderUnavailable, match=told):
        world.walk()
    once = "ends within" in told  # found only when its last line is read
    assert world.downloads() == world.links() == (1 if once else 3)


def test_no_page_of_a_damaged_file_is_believed(start: Start) -> None:
    world = start(hour_cut=1.0)
    steps = world.source(page_size=1).walk(HOUR)
    with pytest.raises(ProviderUnavailable):
        next(iter(steps))


MEMBERS = [gzip.compress(b'{"msg_id":"%d","timestamp":%d}\n' % (number, LO)) for number in range(3)]


def unframed(world: World, server: Scripted, *files: bytes) -> HourlySource:
    """The source of a world whose files lie on another server, which says nowhere where they end."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    server.script = [server.cut(head + data) for data in files]
    link = SignedLink(f"{server.url()}/file")
    answer = HourAnswer((link,), missing=False, server_ms=LO + 3 * HOUR_MS)
    return HourlySource(**{**fields(world.source()), "fetch_link": lambda _: answer})


def test_a_file_whose_end_nobody_told_is_believed_when_it_comes_the_same_twice(world: World, server: Scripted) -> None:
    whole = b"".join(MEMBERS[:1])
    assert ids(list(unframed(world, server, whole, whole).walk(HOUR))) == ["0"]
    assert server.connections == 2


@pytest.mark.parametrize("members", [1, 2])
def test_a_file_that_was_cut_between_two_members_is_not_believed(world: World, server: Scripted, members: int) -> None:
    cut, whole = b"".join(MEMBERS[:members]), b"".join(MEMBERS)
    with pytest.raises(ProviderUnavailable, match="did not say where"):
        list(unframed(world, server, cut, whole).walk(HOUR))
    assert server.connections == 3


def test_an_error_envelope_in_place_of_a_file(start: Start) -> None:
    with pytest.raises(FileMissing, match="no record in it can be read"):
        start(only=FILE, error_200=1.0).walk()


def test_an_expired_link_is_renewed_three_times(start: Start) -> None:
    world = start(hour_link_seconds=0.0)
    with pytest.raises(ProviderUnavailable, match=r"answered 403 \(AccessDenied\)"):
        world.walk()
    assert (world.links(), world.downloads()) == (3, 3)


def test_a_link_that_expired_just_now_is_renewed(world: World) -> None:
    source = world.source()
    first = True

    def slowly(hour: str) -> HourAnswer:
        nonlocal first
        answer = source.fetch_link(hour)
        world.now_ms += 1_801_000 * first
        first = False
        return answer

    steps = list(HourlySource(**{**fields(source), "fetch_link": slowly}).walk(HOUR))
    assert ids(steps) == ALL
    assert (world.links(), world.downloads()) == (2, 2)
    assert steps[0].page.server_ms == world.now_ms


def fields(source: HourlySource) -> dict[str, Any]:
    return {name: getattr(source, name) for name in HourlySource.__slots__}


def test_a_file_that_goes_while_it_is_asked_for_is_no_empty_hour(world: World) -> None:
    source = world.source()

    def vanishing(hour: str) -> HourAnswer:
        answer = source.fetch_link(hour)
        world.server.clear()
        return answer

    with pytest.raises(FileMissing, match="was there and is gone"):
        list(HourlySource(**{**fields(source), "fetch_link": vanishing}).walk(HOUR))


def test_who_waited_long_for_bytes_does_not_begin_again(start: Start) -> None:
    world = start(only=FILE, hang=1.0, hang_s=5)
    source = world.source()

    def slow(*arguments: Any) -> Any:
        world.seconds += 31
        return source.download(*arguments)

    with pytest.raises(ProviderUnavailable, match=r"hardly anything came for 0\.25 s"):
        list(HourlySource(**{**fields(source), "download": slow}).walk(HOUR))
    assert world.downloads() == 1


def test_a_dripping_file_is_given_up(start: Start) -> None:
    world = start(only=FILE, drip=1.0, drip_ms=100.0, drip_pieces=50)
    with pytest.raises(ProviderUnavailable, match="hardly anything came"):
        world.walk()
    assert world.downloads() == 3


def test_a_bomb_is_bounded(start: Start) -> None:
    world = start(hour_bomb=1.0, bomb_mb=34)
    with pytest.raises(WalkFailed, match="inflates to more than 16777216 bytes"):
        world.walk(inflated_limit=16 << 20)
    with pytest.raises(WalkFailed, match="a record of the file is larger than"):
        world.walk()
    assert world.downloads() == 2  # a fresh link would not make it smaller


def test_a_file_beyond_the_byte_limit_is_not_fetched(world: World) -> None:
    world.limits = DownloadLimits(byte_limit=100)
    with pytest.raises(WalkFailed, match="larger than 100 bytes"):
        world.walk()
    assert world.downloads() == 1


def test_the_storage_host_never_sees_a_credential(start: Start) -> None:
    for faults in ({}, {"hour_link_seconds": 0.0}, {"only": FILE, "redirect": 1.0}):
        world = start(**faults)
        with suppress(ProviderUnavailable, RequestRefused):
            world.walk()
        asked = [request for request in world.server.requests if request.host == "files"]
        assert asked
        for request in asked:
            assert set(request.headers) == {"host", "accept", "accept-encoding", "user-agent"}
            assert request.body == b""


def test_a_redirected_file_is_refused(start: Start) -> None:
    world = start(only=FILE, redirect=1.0)
    with pytest.raises(RequestRefused, match="a redirected file is not fetched"):
        world.walk()
    assert world.downloads() == 1


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"hour_link_seconds": 0.0},
        {"hour_cut": 1.0},
        {"only": FILE, "reset": 1.0},
        {"only": FILE, "redirect": 1.0},
        {"only": FILE, "http_500": 1.0},
        {"only": FILE, "drip": 1.0, "drip_pieces": 50},
    ],
)
def test_no_log_and_no_error_tells_a_link(
    start: Start, caplog: pytest.LogCaptureFixture, faults: dict[str, Any]
) -> None:
    for name in (None, "urllib3", "urllib3.connection", "urllib3.connectionpool"):
        caplog.set_level(logging.DEBUG, logger=name)
    texts = []
    try:
        texts += [repr(step) for step in start(**faults).walk()]
    except ArchiverError as error:
        texts += ["".join(traceback.format_exception(error)), repr(error), str(error.__context__)]
    for part in ("Expires", "Signature", "OSSAccessKeyId", "LTAI", ".gz", FILE):
        assert part not in caplog.text + "".join(texts)


def test_nothing_is_left_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Any] = []
    make = tempfile.TemporaryFile

    def remember(*arguments: Any, **options: Any) -> Any:
        files.append(make(*arguments, **options))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", remember)
    world.walk()
    steps = world.source(page_size=1).walk(HOUR)
    next(iter(steps))
    assert not files[-1].closed
    del steps
    world.faults.hour_cut = 1.0
    with pytest.raises(ProviderUnavailable):
        world.walk()
    assert [file.closed for file in files] == [True] * 5


def test_progress_is_told_and_may_end_it(world: World) -> None:
    def lost(_: int) -> None:
        raise LeaseLost

    world.limits = DownloadLimits(progress_bytes=1)
    told: list[int] = []
    assert ids(list(world.source().walk(HOUR, progress=told.append))) == ALL
    assert told
    with pytest.raises(LeaseLost):
        list(world.source().walk(HOUR, progress=lost))
    assert world.downloads() == 2


def test_several_files_of_one_hour(world: World) -> None:
    source = world.source()

    def twice(hour: str) -> HourAnswer:
        answer = source.fetch_link(hour)
        return HourAnswer(answer.links * 2, False, answer.server_ms)

    steps = list(HourlySource(**{**fields(source), "fetch_link": twice}).walk(HOUR))
    assert ids(steps) == ALL * 2
    assert [step.end for step in steps] == [""] * 5 + ["exhausted"]


@pytest.mark.parametrize(
    ("window", "files"),
    [(Window(LO, LO + 2 * HOUR_MS), 2), (Window(LO, LO + HOUR_MS // 2), 1), (Window(LO + 1, LO + 1 + HOUR_MS), 2)],
)
def test_a_window_is_read_from_all_files_whose_hours_it_touches(world: World, window: Window, files: int) -> None:
    """Windows that were planned before hour_utc_offset was changed by half an hour are no hours of the zone."""
    steps = list(world.source().walk(window))
    assert steps[-1].end == "exhausted"
    assert world.server.count("/chatmessages/20") == files


def test_first_contact_reaches_back_as_far_as_files_are_kept(world: World) -> None:
    source, now_ms = world.source(), LO + 100 * HOUR_MS
    assert source.first_contact(LO + 90 * HOUR_MS, now_ms) == LO + 90 * HOUR_MS
    assert source.first_contact(LO + 90 * HOUR_MS + 1, now_ms) == LO + 91 * HOUR_MS
    assert source.first_contact(0, now_ms) == LO + 28 * HOUR_MS
    assert source.first_contact(0, now_ms + 1) == LO + 29 * HOUR_MS


def test_the_servers_time(world: World) -> None:
    source = world.source()
    world.faults.clock_offset_ms = -5000
    for age in (0, HOUR_MS // 2, 100 * HOUR_MS):  # whatever is said of the hour
        world.now_ms = LO + 2 * HOUR_MS + age
        assert source.fetch_now() == world.now_ms - 5000
    assert world.downloads() == 0
    assert world.server.count("/chatmessages/") == 3


def test_the_servers_time_must_be_told(start: Start) -> None:
    world = start(timestamp_missing=True)
    assert world.source().fetch_now() == world.now_ms  # by the Date header
    world.faults.date_missing = True
    with pytest.raises(AnswerUnusable, match="does not tell the server's time"):
        world.source().fetch_now()


def test_a_rate_limit_is_waited_for_and_a_quota_is_not(start: Start) -> None:
    world = start(only="/chatmessages/", http_429=1.0, times=1)
    assert ids(world.walk()) == ALL
    assert world.links() == 2
    world.faults.resource_limited = True
    with pytest.raises(QuotaExceeded):
        world.walk()


def test_a_missing_hour_says_nothing_against_the_token(world: World) -> None:
    world.faults.hour_unstored = NAME
    for _ in range(2):
        with pytest.raises(HourMissing):
            world.walk()
        world.faults.http_401, world.faults.only, world.faults.times = 1.0, "/chatmessages/", 1
    assert world.server.count("/token") == 2
    world.faults.times, world.faults.refuse_bearer = 0, True
    with pytest.raises(CredentialsRefused):
        world.walk()


# What the service says of an hour.


def answer(status: int, body: object) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {}, data, 1_789_000_000_000, "a1.easemob.com/org/app/chatmessages/2026091008")


URL = "http://ebs-chatmessage-a1.easemob.com/history/3D/x.gz?Expires=1542888717&Signature=a%3D"
TIMES = {"timestamp": 1_789_000_000_500, "duration": 100}


def test_the_links_of_an_answer() -> None:
    found = read_answer(answer(200, {"data": [{"url": URL}, {"url": URL + "2"}], **TIMES}))
    assert [link.url for link in found.links] == [URL, URL + "2"]
    assert (found.missing, found.server_ms) == (False, 1_789_000_000_400)
    assert "Signature" not in repr(found)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b'{"data":[{"url":"htt',
        [],
        {},
        {"data": []},
        {"data": None},
        {"data": {"url": URL}},
        {"data": [URL]},
        {"data": [{"url": None}]},
        {"data": [{"url": URL}, {}]},
        {"data": [{"url": "http://user@host/"}]},
        {"data": [{"url": URL}] * 101},
        {"error": "web_application", **TIMES},
    ],
)
def test_an_answer_without_good_links_is_unusable(body: object) -> None:
    """A damaged one is asked for again; one that is whole says the same again, and is the hour's own trouble."""
    whole = isinstance(body, dict) and "error" not in body
    with pytest.raises(AnswerUnexpected if whole else AnswerUnusable) as caught:
        read_answer(answer(200, body))
    assert "Signature" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<html>not here</html>"),
        (404, {"error": "service_resource_not_found"}),
        (404, {"error": "organization_application_not_found"}),
        (404, {}),
        (400, {"error": "invalid_request_body"}),
        (400, b""),
        (400, {"error": "illegal_argument", "error_description": "This chatmessage request is not supported"}),
    ],
)
def test_other_refusals_are_not_about_the_hour(status: int, body: object) -> None:
    with pytest.raises(RequestRefused) as caught:
        read_answer(answer(status, body))
    assert caught.value.status == status


def test_a_feature_that_is_off_says_so(world: World) -> None:
    with pytest.raises(RequestRefused, match="hourly files are not supported for this app") as caught:
        world.source().fetch_link("nonsense")
    assert caught.value.hint is not None


def test_the_time_is_known_although_the_hour_that_was_asked_about_has_an_odd_answer(world: World) -> None:
    def fetch_link(_: str) -> HourAnswer:
        return read_answer(answer(200, {"data": [], **TIMES}))

    assert replace(world.source(), fetch_link=fetch_link).fetch_now() == TIMES["timestamp"] - TIMES["duration"]
