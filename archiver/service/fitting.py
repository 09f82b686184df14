"""How much of a message a chat service takes: whole lines, and how many of them were left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from archiver.http import Form
from archiver.language import ENGLISH, Language


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))


def _escaped(text: str) -> int:
    """As it goes over the wire: what is not ASCII takes six bytes and more."""
    return len(json.dumps(text))


LIMITS: Mapping[Form, tuple[int, Callable[[str], int]]] = {
    "wecom": (2048, _bytes),
    "dingtalk": (16_000, _escaped),
    "feishu": (16_000, _escaped),
    "json": (4_000, len),
}
"""How long a message may be, and by what measure; a robot refuses what is longer, so that nobody hears of it.

WeCom: `content` of a text, 2048 bytes of UTF-8 (developer.work.weixin.qq.com, path/91770). DingTalk: a request of 20000
bytes, beyond which it answers 460101 (open.dingtalk.com, custom-robot-access). Feishu: a request body of 20 KB
(open.feishu.cn, add-custom-bot). For both some is left for what stands around the text. "json" goes to services that
show `text`: Slack's webhooks take 4,000 characters well, and cut it from 40,000 on (docs.slack.dev, text formatting).
"""


def fitting(lines: Sequence[str], limit: int, measure: Callable[[str], int], language: Language = ENGLISH) -> str:
    """As many whole lines as fit, and how many do not; of a single line that does not fit its beginning."""
    if measure("\n".join(lines)) <= limit:
        return "\n".join(lines)

    def first(count: int) -> str:
        return "\n".join([*lines[:count], _more(len(lines) - count, language)])

    if (kept := _most(len(lines) - 1, lambda count: measure(first(count)) <= limit)) > 1:
        return first(kept)
    head, end = "\n".join(lines[:2]), "\n".join(["…", *([_more(len(lines) - 2, language)] if len(lines) > 2 else [])])
    return head[: _most(len(head), lambda count: measure(head[:count] + end) <= limit)] + end


def _most(high: int, fits: Callable[[int], bool]) -> int:
    """The greatest number up to `high` that fits; 0 where none does."""
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _more(count: int, language: Language) -> str:
    return language.say("… and {count} more: archiver status", count=count)
