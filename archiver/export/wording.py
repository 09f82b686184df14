"""The words of exports for people, in English and Chinese; and instants as they are written for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from archiver.zones import Calendar

LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one language, and the zone in which times are written."""

    language: str = "en"
    calendar: Calendar = field(default_factory=Calendar)

    def __getitem__(self, key: str) -> str:
        return _WORDS[key][LANGUAGES.index(self.language)]

    def labelled(self, key: str, value: object) -> str:
        """A label, and what it labels."""
        return f"{self[key]}{self['colon']}{value}"

    def instant(self, instant: str | None) -> str:
        """An instant in UTC and, where that is another one, in the zone; nothing for none."""
        if instant is None:
            return ""
        utc = Calendar().spoken(instant)
        return utc if self.calendar.zone is UTC else f"{self.calendar.spoken(instant)} ({utc})"

    def at(self, ms: int) -> str:
        """The same of a stamp, which may be outside all calendars."""
        try:
            moment = _EPOCH + timedelta(milliseconds=ms)
        except OverflowError:
            return f"{ms} ms"
        return self.instant(moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS: dict[str, tuple[str, str]] = {
    "colon": (": ", "："),
    "filter": ("Filter", "筛选条件"),
    "everything": ("none: everything that is archived", "无：导出全部归档内容"),
    "filter_app": ("app: {}", "应用：{}"),
    "filter_sender": ("sender: {}", "发送者：{}"),
    "filter_recipient": ("recipient: {}", "接收者：{}"),
    "filter_conversation": ("conversation: {}", "会话：{}"),
    "filter_from_ms": ("from {} on", "起始时间（含）：{}"),
    "filter_to_ms": ("before {}", "截止时间（不含）：{}"),
    "filter_types": ("with a body of type: {}", "消息体类型：{}"),
    "filter_text": ("with the text: {}", "包含文本：{}"),
}
