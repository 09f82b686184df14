"""The words of exports for people, in English and Chinese; and instants as they are written for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

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

    def why(self, hole: Mapping[str, Any]) -> str:
        """The reason of a hole and, where somebody accepted it, who and when."""
        reason = str(hole["reason"] or "")
        if not hole["accepted_by"]:
            return reason
        return self["accepted_of"].format(reason, hole["accepted_by"], self.instant(hole["accepted_at"]))

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
    "title": ("Archived messages", "归档消息"),
    "count": ("{:,} messages, as archived at {}", "共 {:,} 条消息，归档快照时间：{}"),
    "who": ("Made by", "导出人"),
    "program": ("Program", "程序"),
    "case": ("Case", "案件编号"),
    "reason": ("Reason", "导出原因"),
    "export_id": ("Export id", "导出编号"),
    "snapshot_at": ("Snapshot of", "快照时间"),
    "zone": ("Time zone", "时区"),
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
    "statement": ("Coverage statement", "完整性声明"),
    "hole": ("Hole", "缺口"),
    "hole_of": ("{} to {}, {}: {}", "{} 至 {}，{}：{}"),
    "accepted_of": ("{} (accepted by {} on {})", "{}（{} 于 {} 接受）"),
    "gaps": ("Gaps in the range asked for", "所问时间段的缺口"),
    "no_holes": ("No holes.", "没有缺口。"),
    "complete_from": ("Complete from", "完整起点"),
    "complete_until": ("Complete until", "完整终点"),
    "audited_until": ("Audited until", "已复查至"),
    "late_arrivals": ("Late arrivals", "迟到消息"),
    "quarantined": ("Records in quarantine", "隔离区记录"),
    "days": ("Days", "日期"),
    "app": ("app", "应用"),
    "day": ("day ({})", "日期（{}）"),
    "messages": ("messages", "消息数"),
    "pages": ("pages", "页面"),
    "conversations": ("Conversations", "会话"),
    "conversation": ("conversation", "会话"),
    "no_conversation": ("no conversation", "无会话"),
    "more_conversations": (
        "{:,} further conversations are not listed here; the pages of the days have them.",
        "另有 {:,} 个会话未在此列出，请查看各日期页面。",
    ),
    "without_day": ("without a day", "无日期"),
    "unknown": ("unknown", "未知"),
    "all_days": ("all days", "全部日期"),
    "previous": ("previous page", "上一页"),
    "following": ("next page", "下一页"),
    "nobody": ("nobody named", "未注明发送者"),
    "id": ("id", "ID"),
    "no_body": ("(no body)", "（无消息体）"),
    "file": ("file", "文件"),
    "bytes": ("bytes", "字节"),
    "picture": (
        "picture {}; if it is not shown, see attachments_missing in manifest.json",
        "图片 {}；如未显示，请查看 manifest.json 中的 attachments_missing",
    ),
    "late": ("arrived late, by up to {:,.1f} s", "迟到，最多 {:,.1f} 秒"),
    "recalled": ("recalled {} by {}, by a callback of the provider", "已于 {} 被 {} 撤回（据服务商回调）"),
    "edited": (
        "edited {:,} times since, by callbacks of the provider; shown as it was archived",
        "此后被编辑 {:,} 次（据服务商回调）；此处显示归档时的内容",
    ),
    "lossy": (
        "shown with substitutes; JSON Lines have the record itself",
        "部分字符以替代符显示；原始记录见 JSON Lines 导出",
    ),
    "revision": ("seen with other content at {}: {} (digest {})", "{} 再次出现时内容不同：{}（摘要 {}）"),
    "unreadable": ("(cannot be read)", "（无法解析）"),
    "cut": (
        " [cut here: {:,} of {:,} characters; the other formats have the whole text]",
        "【此处截断：共 {1:,} 个字符，仅保留前 {0:,} 个；完整文本见其他格式】",
    ),
    "cut_count": ("Texts cut at the limit of a cell", "因单元格长度限制而截断的文本数"),
    "row_count": ("Rows in this workbook", "本工作簿行数"),
    "in_workbook": ("Messages in this workbook", "本工作簿消息数"),
    "of_workbooks": ("Messages of the export", "本次导出消息数"),
    "sheet": ("Messages", "消息"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "sent_at": ("Sent ({})", "发送时间（{}）"),
    "sent_at_utc": ("Sent (UTC)", "发送时间（UTC）"),
    "sender": ("Sender", "发送者"),
    "recipient": ("Recipient", "接收者"),
    "conversation_id": ("Conversation", "会话"),
    "chat_type": ("Chat type", "会话类型"),
    "body_type": ("Body type", "消息体类型"),
    "text": ("Text", "文本"),
    "filename": ("File name", "文件名"),
    "file_length": ("File size (bytes)", "文件大小（字节）"),
    "duration": ("Duration (s)", "时长（秒）"),
    "width": ("Width", "宽"),
    "height": ("Height", "高"),
    "addr": ("Place", "位置"),
    "lat": ("Latitude", "纬度"),
    "lng": ("Longitude", "经度"),
    "attachment_state": ("Attachment state", "附件状态"),
    "attachment_sha256": ("Attachment SHA-256", "附件 SHA-256"),
    "lateness_ms": ("Late by (ms)", "迟到（毫秒）"),
    "revisions": ("Revisions", "修订数"),
    "lossy_column": ("Substitutes", "含替代符"),
    "extra": ("Further fields (JSON)", "其他字段（JSON）"),
    "ext": ("Extension (JSON)", "扩展字段（JSON）"),
    "url": ("Address at the provider", "服务商处地址"),
    "app_column": ("App", "应用"),
    "direction": ("Direction", "方向"),
    "msg_id": ("Message id", "消息 ID"),
    "body_position": ("Body", "消息体序号"),
    "timestamp_ms": ("Timestamp (ms)", "时间戳（毫秒）"),
    "digest": ("Digest", "摘要"),
    "archived_at": ("Archived (UTC)", "归档时间（UTC）"),
}
