"""Tells systemd how the service is, by datagrams to $NOTIFY_SOCKET; says nothing where there is none.

A service that says READY=1 has opened its database; one that says WATCHDOG=1 is not overdue.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger(__name__)

_STATUS_BYTES = 2_000


class Notifier:
    """The way to the service manager. `watchdog_s`: how often it wants to hear from us; None where it does not."""

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        # An abstract socket is written with @, and addressed with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = watchdog_s

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Notifier:
        """As systemd set the environment. A watchdog that is meant for another process is none of ours."""
        address, usec = environ.get("NOTIFY_SOCKET", ""), environ.get("WATCHDOG_USEC", "")
        if address[:1] not in ("/", "@"):
            return cls()
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(address, int(usec) / 1e6 if usec.isdigit() and int(usec) and ours else None)

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """To be followed by `ready`."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Not called while the archive is overdue: then systemd starts the service again."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line, for `systemctl status`; systemd drops a datagram of more than 4096 bytes (sd-daemon, PIPE_BUF)."""
        line = " ".join(text.split()).encode(errors="replace")
        cut = line[:_STATUS_BYTES].decode(errors="ignore") + "…" if len(line) > _STATUS_BYTES else line.decode()
        self._send(f"STATUS={cut}")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
                way.settimeout(5)
                way.sendto(text.encode(errors="replace"), self._address)
        except OSError as error:
            log.warning("systemd could not be notified: %s", error.strerror or type(error).__name__)
