"""Seeded records that look like real traffic: conversations, every kind of body, ties, unusual but legal shapes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from archiver.sandbox.chatfiles import FILE_NODE, HEADS, file_length, file_secret
from archiver.sandbox.phrases import CHATTER, GROUPS, NAMES, PAPERS, PHOTOS, PLACES, ROOMS
from archiver.sandbox.shelf import Stored, make_uuid, render, uuid_text

Json = dict[str, Any]
_MSG_ID_EPOCH_MS = 1_417_564_800_000


@dataclass(frozen=True, slots=True)
class Seed:
    """What the seeded records depend on: how many, the number that varies them, and the range of their timestamps."""

    messages: int
    number: int
    start_ms: int
    span_ms: int


def make_records(seed: Seed, home: str) -> list[Stored]:
    """The records of a seed. `home` is the application's URL; links of attachments begin with it."""
    draw = random.Random(seed.number)
    bodies = Bodies(draw, home)
    rows: list[Stored] = []
    talk = _talk(draw)
    for serial, timestamp in enumerate(_timestamps(draw, seed)):
        if draw.random() < 0.2:
            talk = _talk(draw)
        created = timestamp + draw.choice((-9, 3, 12, 16, 30, 120, 226, 340, 571))
        uuid = make_uuid(created, serial)
        record = _record(draw, bodies, talk, serial, timestamp, created)
        rows.append(
            Stored(timestamp, max(timestamp, created), render({"uuid": uuid_text(uuid), **record}), record, uuid)
        )
        record["uuid"] = uuid_text(uuid)
    return rows


def make_msg_id(timestamp_ms: int, serial: int) -> str:
    """A message id that carries its time in the upper bits, as the provider's do; before their epoch, the old form."""
    since = timestamp_ms - _MSG_ID_EPOCH_MS
    if since < 0:
        return f"5I02W-{serial % 97}-{(timestamp_ms * 1009 + serial) & 0xFFFFFFFF:x}"
    return str(((since << 32) // 1000) & ~0xFFFFF | serial & 0xFFFFF)


def _timestamps(draw: random.Random, seed: Seed) -> list[int]:
    """Sorted, with pairs of one millisecond over every border of ten and a crowd of them over the border of 1000."""
    times = sorted(seed.start_ms + int(draw.random() * seed.span_ms) for _ in range(seed.messages))
    for border in range(10, len(times), 10):
        if border % 50 == 0 or draw.random() < 0.1:
            times[border] = times[border - 1]
        if border % 1000 == 0:
            times[border - 6 : border + 6] = [times[border - 6]] * len(times[border - 6 : border + 6])
    return times


def _talk(draw: random.Random) -> tuple[str, tuple[str, ...], str]:
    """A conversation: its kind, who speaks in it, and the group's or room's id."""
    share = draw.random()
    if share < 0.65:
        return "chat", tuple(draw.sample(NAMES, 2)), ""
    if share < 0.95:
        return "groupchat", tuple(draw.sample(NAMES, 5)), draw.choice(GROUPS)
    return "chatroom", tuple(draw.sample(NAMES, 8)), draw.choice(ROOMS)


def _record(
    draw: random.Random,
    bodies: Bodies,
    talk: tuple[str, tuple[str, ...], str],
    serial: int,
    timestamp: int,
    created: int,
) -> Json:
    kind, people, group = talk
    sender = draw.choice(people)
    recipient = group or next(name for name in people if name != sender)
    payload: Json = {"bodies": bodies.some(timestamp)}
    ext = _ext(draw)
    if ext is not None:
        payload["ext"] = ext
    record: Json = {
        "type": "chatmessage",
        "created": created,
        "modified": created,
        "timestamp": timestamp,
        "from": sender,
        "msg_id": make_msg_id(timestamp + draw.randint(1, 102), serial),
        "to": recipient,
        "chat_type": kind,
        "payload": payload,
    }
    if kind == "groupchat" and serial % 2:
        record["groupId"] = group
    return record


def _ext(draw: random.Random) -> Json | None:
    share = draw.random()
    if share < 0.6:
        return None
    if share < 0.8:
        return {}
    if share < 0.93:
        return {"nick": draw.choice(NAMES), "avatar": f"https://example.com/a/{draw.randint(1, 99)}.png", "vip": True}
    return {
        "em_apns_ext": {"em_push_title": "新消息", "extern": {"badge": draw.randint(0, 9), "sound": None}},
        "tags": ["订单", "售后", draw.randint(1, 9)],
        "rate": 4.5,
    }


class Bodies:
    """Draws the bodies of a message."""

    def __init__(self, draw: random.Random, home: str) -> None:
        self.draw, self.home = draw, home
        self._files = 0
        kinds: list[tuple[Callable[[int], Json], float]] = [
            (self.txt, 72), (self.img, 9), (self.audio, 5), (self.loc, 3), (self.video, 2), (self.file, 2),
            (self.cmd, 2), (self.custom, 2), (self.combine, 1), (self.unknown, 0.5),
        ]  # fmt: skip
        self._kinds = [kind for kind, _ in kinds]
        self._weights = [weight for _, weight in kinds]
        total, sums = 0.0, []
        for weight in self._weights:
            total += weight
            sums.append(total)
        self._sums = sums

    def some(self, timestamp: int) -> list[Json]:
        """Mostly one body; now and then several, or none."""
        share = self.draw.random()
        number = 0 if share < 0.004 else 2 if share < 0.01 else 3 if share < 0.012 else 1
        return [kind(timestamp) for kind in self.draw.choices(self._kinds, cum_weights=self._sums, k=number)]

    def fill(self, text: str) -> str:
        if "{" not in text:
            return text
        return text.format(n=self.draw.randint(2, 9999), hour=self.draw.randint(8, 21), place=self.draw.choice(PLACES))

    def link(self, timestamp: int, filename: str) -> tuple[str, str]:
        """Where a new file lies, and its secret."""
        self._files += 1
        kind = next((number for number, (ending, _) in enumerate(HEADS) if ending and filename.endswith(ending)), 0)
        uuid = make_uuid(timestamp - 40, self._files, FILE_NODE | kind)
        return f"{self.home}/chatfiles/{uuid_text(uuid)}", file_secret(uuid)

    def stored(self, timestamp: int, filename: str) -> Json:
        url, secret = self.link(timestamp, filename)
        return {"filename": self.fill(filename), "file_length": file_length(url), "url": url, "secret": secret}

    def txt(self, _: int) -> Json:
        return {"msg": self.fill(self.draw.choice(CHATTER)), "type": "txt"}

    def img(self, timestamp: int) -> Json:
        body = {"type": "img", **self.stored(timestamp, self.draw.choice(PHOTOS))}
        share = self.draw.random()
        if share < 0.1:
            del body["file_length"]
        elif share < 0.8:
            body["size"] = {"width": self.draw.choice((320, 720, 1080)), "height": self.draw.choice((240, 1280, 1920))}
        if share > 0.9:
            body["secret"] = ""
        return body

    def audio(self, timestamp: int) -> Json:
        return {"type": "audio", **self.stored(timestamp, "audio{n}.amr"), "length": self.draw.randint(1, 60)}

    def video(self, timestamp: int) -> Json:
        thumb, thumb_secret = self.link(timestamp, "thumb.jpg")
        body = {"type": "video", **self.stored(timestamp, "video{n}.mp4"), "length": self.draw.randint(2, 300)}
        return body | {"size": {"width": 360, "height": 480}, "thumb": thumb, "thumb_secret": thumb_secret}

    def file(self, timestamp: int) -> Json:
        return {"type": "file", **self.stored(timestamp, self.draw.choice(PAPERS))}

    def loc(self, _: int) -> Json:
        lat, lng = round(self.draw.uniform(18, 53), 6), round(self.draw.uniform(74, 134), 6)
        return {"type": "loc", "addr": self.draw.choice(PLACES), "lat": lat, "lng": lng}

    def cmd(self, _: int) -> Json:
        return {"type": "cmd", "action": self.draw.choice(("typing", "refresh", "call/hangup"))}

    def custom(self, _: int) -> Json:
        exts = {"gift": self.draw.choice(("🌹", "🎁")), "count": self.draw.randint(1, 99)}
        listed = [{name: value} for name, value in exts.items()]
        return {"type": "custom", "customEvent": "gift_1", "customExts": listed, "v2:customExts": exts}

    def combine(self, timestamp: int) -> Json:
        words = {"title": "聊天记录", "summary": "xiaolin: 你好\nahua: [图片]", "msg": "当前版本不支持查看该消息"}
        return {
            "type": "txt",
            "subType": "sub_combine",
            "combineLevel": 1,
            **words,
            **self.stored(timestamp, "combine"),
        }

    def unknown(self, _: int) -> Json:
        return {"type": self.draw.choice(("unknown", "sticker")), "pack": "cat", "number": self.draw.randint(1, 40)}
