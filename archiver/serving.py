"""How waitress answers until it is stopped, for the receiver of callbacks and the page: a turn at a time."""

from __future__ import annotations

import time
from typing import Any

TURN_S = 0.5
_END_S = 5


def turn(server: Any, within_s: float = TURN_S) -> None:
    """Take what comes in and send what is answered, at most so long while nothing happens."""
    server.asyncore.loop(timeout=within_s, use_poll=True, map=server._map, count=1)


def finish(server: Any) -> None:
    """Answer those whose requests are at work, for some seconds, and no others."""
    server.accepting = False
    ends_at = time.monotonic() + _END_S
    while any(channel.requests for channel in server.active_channels.values()) and time.monotonic() < ends_at:
        turn(server, 0.05)
    server.task_dispatcher.shutdown(cancel_pending=True, timeout=_END_S)
    server.asyncore.close_all(server._map, ignore_all=True)
