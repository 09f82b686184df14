"""Hostile texts, and records that carry them."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

FORMULAS = (
    '=HYPERLINK("http://x.example","go")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1",
    "'=1",
    "＝1+1",
    " \u200b=1",
)
MARKUP = (
    '</bdi></p><script>document.title="owned"</script>',
    '<img src="http://127.0.0.1:9/x" onerror="document.title=\'owned\'">',
    "\u202eevil\u2066 \x1b[2J line\r\nbreak\tcell",
    '" onmouseover="x" <a href="javascript:1">&amp;</a>',
)

HIDDEN: dict[str, Any] = {"secret": ["hidden-1"], "more": [{"thumb_secret": {"a": "hidden-2"}, "kept": "in sight"}]}
"""Secrets where no column takes them: in `extra`."""


def said(msg_id: str, text: str, stamp_ms: int, **more: Any) -> dict[str, Any]:
    """A record as the provider sends it."""
    payload = {"bodies": [{"type": "txt", "msg": text}], **more}
    head = {"msg_id": msg_id, "timestamp": stamp_ms, "from": "iris", "to": "xingchen", "chat_type": "chat"}
    return {**head, "payload": payload}


class Stopping:
    """Asks an export to stop after its first messages."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop

    def begun(self, messages: int) -> None: ...

    def wrote(self, messages: int) -> None:
        self._stop.set()


def files(folder: Path) -> list[str]:
    """Every file below a folder, by relative name."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
