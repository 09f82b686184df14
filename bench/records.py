"""Seeded records for the benchmarks: 336 bytes of JSON on average, mostly Chinese text, one body in ten an image."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

SPAN_MS = 86_400_000
_TEXTS = (
    "好的,明天上午十点在会议室见,请带上合同的原件",
    "订单已经发货了,请注意查收,有问题随时联系我",
    "ok, see you at 8, bring the signed copy please",
    "退款已经受理,预计三个工作日内到账,请耐心等待",
    "收到",
    "这个价格还能再谈一谈吗?我们下周要两百件",
)


def make(messages: int, start_ms: int, *, seed: int = 1) -> Iterator[tuple[int, bytes]]:
    """`messages` records in order of time, spread over a day from `start_ms`: (timestamp in ms, JSON in UTF-8)."""
    draw = random.Random(seed)
    stamps = sorted(start_ms + int(draw.random() * SPAN_MS) for _ in range(messages))
    for number, stamp_ms in enumerate(stamps):
        yield stamp_ms, _render(_record(draw, number, stamp_ms))


def _record(draw: random.Random, number: int, stamp_ms: int) -> dict[str, object]:
    sender, recipient = f"user{draw.randrange(4000):04}", f"user{draw.randrange(4000):04}"
    group = draw.random() < 0.3
    payload: dict[str, object] = {"bodies": [_body(draw, number)]}
    if draw.random() < 0.3:
        payload["ext"] = {"nick": sender, "vip": draw.random() < 0.5}
    return {
        "uuid": f"{draw.getrandbits(128):032x}",
        "type": "chatmessage",
        "created": stamp_ms,
        "modified": stamp_ms,
        "timestamp": stamp_ms,
        "from": sender,
        "msg_id": str(((stamp_ms - 1_417_564_800_000) << 20) | number & 0xFFFFF),
        "to": f"{27_000_000 + draw.randrange(300)}" if group else recipient,
        "chat_type": "groupchat" if group else "chat",
        "payload": payload,
    }


def _body(draw: random.Random, number: int) -> dict[str, object]:
    if draw.random() < 0.9:
        return {"msg": draw.choice(_TEXTS), "type": "txt"}
    return {
        "type": "img",
        "url": f"https://a1.easemob.com/bench/app/chatfiles/{draw.getrandbits(64):016x}",
        "secret": f"{draw.getrandbits(60):015x}",
        "filename": f"{number}.jpg",
        "file_length": draw.randrange(10_000, 900_000),
        "size": {"width": 720, "height": 1280},
    }


def _render(record: dict[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
