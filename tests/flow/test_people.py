"""People are answered in their zone and language, on terminals of any width; errors advise them in it as well."""

from __future__ import annotations

import re

import pytest

from archiver.language import REMEDIES, language
from tests.fixtures.archive import Archive

CHINESE = ("--language", "zh", "--zone", "Asia/Shanghai")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_people_read_is_in_their_language_and_zone(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    assert archive("quarantine", "list", *CHINESE) == 0
    assert archive.output == "隔离区中没有记录\n"
    assert archive("coverage", *CHINESE) == 0
    assert archive.output == "尚未拉取任何内容：没有窗口\n"
    assert archive("pull") == 0
    archive.server.add({"timestamp": archive.server.start_ms + 5, "chat_type": 7})
    assert archive("status", *CHINESE) == 0
    assert archive.output.startswith("正常：1 个来源已归档至")
    for words in ("时间采用 Asia/Shanghai", "迟到消息", "服务端排序", "可信", "最近运行", "观察到"):
        assert words in archive.output
    assert "+08:00 至" in archive.output, "the claim in words is in the zone, too"
    assert archive("coverage", *CHINESE) == 0
    assert re.search(r"轮次 +起 +止 +状态", archive.output)
    (first,) = archive.database.rows("SELECT sender, recipient FROM messages WHERE chat_type = 'chat' LIMIT 1")
    assert archive("conversation", *map(str, first), *CHINESE) == 0
    assert "时间采用 Asia/Shanghai" in archive.output
    assert re.search(r"--- 2026-\d\d-\d\d 星期[一二三四五六日] ---", archive.output)
    assert archive("conversations", *CHINESE) == 0
    assert re.search("会话 +会话类型 +消息数", archive.output)
    assert archive("search", "没有人写过这一句", *CHINESE) == 0
    assert archive.output == "没有找到\n"
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert archive("conversation", "nobody", "at all") == 2
    assert "建议：archiver conversations --of USER 可列出某用户的会话" in archive.errors


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_narrow_terminal_breaks_up_no_time(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    assert archive("pull") == 0
    monkeypatch.setattr("archiver.cli.console.PLAIN_COLUMNS", 40)
    assert archive("coverage", "--zone", "UTC") == 0
    assert re.search(r"^  from: 2026-\d\d-\d\d \d\d:\d\d:\d\d$", archive.output, re.MULTILINE)
    assert max(map(len, archive.output.splitlines())) <= 40


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_at_80_columns_the_table_of_coverage_breaks_up_no_time(archive: Archive) -> None:
    assert archive("pull", audits=["1h", "24h"]) == 0
    assert archive("coverage", "--zone", "UTC") == 0
    rows = [line for line in archive.output.splitlines() if re.match(r" +\d+ +20", line)]
    assert rows
    time = r"2026-\d\d-\d\d \d\d:\d\d:\d\d"
    assert [row for row in rows if not re.match(rf" +\d+ +{time} +{time} +\w+ +\d+ +[\d,]+ *$", row)] == []
    assert max(map(len, archive.output.splitlines())) <= 80


def test_a_remedy_is_translated_with_its_values() -> None:
    chinese = language("zh")
    assert chinese.remedy("mkdir -p /var/lib/x") == "mkdir -p /var/lib/x"
    assert chinese.remedy("--to archiver://x, or none") == "--to archiver://x，或不加此选项"
    assert chinese.remedy("unheard of") == "unheard of"
    assert language("en").remedy("archiver pull") == "archiver pull"
    assert REMEDIES.exists()
