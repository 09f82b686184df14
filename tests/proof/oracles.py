"""The oracles: what must hold in every world, asked of the database with the plain driver, never with the product.

O1 every message stamped in [F, W) and visible within the window's lag is stored or quarantined. O2 each once and
exact. O3 W never falls but by a reopening. O4 the raw bytes are the provider's. O5 W comes to what is due once the
troubles end. O6 received = new + known + changed + quarantined, and nothing that was received is unaccounted for.
O7 the windows of a pass neither overlap nor leave a gap. And: the stored watermark is what the windows say (O8), what
showed disorder is not trusted (O9), what came late is noted (O10), what was audited is there (O11), no page of a
process comes behind those of the process that took its window over (O12).
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from archiver.model import DAY_MS
from archiver.timeline import EPS_MS
from tests.proof.provider import Provider, Record

Ask = Callable[[str], list[tuple[Any, ...]]]
"""Asks the database one question in SQL, with the plain driver."""

ESCAPED = "X"
"""Not an oracle: an error escaped from a pull."""

TILING = ("closed", "presumed_empty", "accepted")
_SUMS = "received <> new + known + changed + quarantined"


class Falsified(AssertionError):
    """The product broke its word in a world."""

    def __init__(self, oracle: str, seed: int, what: str, again: str = "WORLD") -> None:
        super().__init__(f"{oracle} does not hold: {what}   (again: {again}={seed} make prove)")
        self.oracle, self.seed = oracle, seed


class Oracles(logging.Handler):
    """Watches one database; also as a log handler, because a reopening must be told."""

    def __init__(self, seed: int, ask: Ask, provider: Provider, settle_ms: int, audits_ms: tuple[int, ...]) -> None:
        super().__init__(logging.ERROR)
        self.seed, self._all, self.provider = seed, ask, provider
        self.settle_ms, self.audits_ms = settle_ms, audits_ms
        self.mark: tuple[int, int, int] | None = None
        self.unproven = 0
        """Messages that a disorder kept from us which looked sorted: what the claim says it cannot prove."""
        self._trusted = True
        self._falls = self._told = 0
        self._closed: set[tuple[int, ...]] = set()
        self._stored: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        self._told += "reopened" in fields

    def fail(self, oracle: str, what: str) -> None:
        raise Falsified(oracle, self.seed, what)

    # After every commit: the claim.

    def after_commit(self) -> None:
        found = self._all("SELECT complete_from_ms, complete_until_ms, audited_until_ms FROM watermarks")
        if not found:
            return
        mark = found[0][0], found[0][1], found[0][2]
        trusted = bool(self._all("SELECT order_trusted FROM sources")[0][0])
        if self.mark is not None and mark != self.mark:
            fell = mark[1] < self.mark[1] or mark[0] > self.mark[0]
            if fell and trusted:
                self.fail("O3", f"the claim fell from {self.mark} to {mark} without a reopening")
            self._falls += fell
            self._check_claim(mark, trusted)
        self.mark, self._trusted = mark, trusted

    def _check_claim(self, mark: tuple[int, int, int], trusted: bool) -> None:
        """O1, for the claim itself and for what was audited."""
        stored = {row[0] for row in self._all("SELECT msg_id FROM messages")}
        quarantined = {row[0] for row in self._all("SELECT raw FROM quarantine")}
        longest = max(self.audits_ms, default=0)
        until_ms = max(mark[1], mark[2])
        missing = [
            record
            for record in self.provider.records
            if mark[0] <= record.stamp_ms < until_ms
            and record.msg_id not in stored
            and not quarantined.intersection(record.raws)
        ]
        if not missing:
            return
        query = "SELECT lo_ms, hi_ms, lag_ms, by_order, walk0_ms FROM windows WHERE pass = 1 ORDER BY lo_ms"
        windows = self._all(query)
        lows = [row[0] for row in windows]
        for record in missing:
            if record.stamp_ms < mark[1]:
                lo_ms, hi_ms, lag_ms, by_order, walk0_ms = windows[bisect_right(lows, record.stamp_ms) - 1]
                if record.lateness_ms <= lag_ms and not self._ends_a_cut_list(record, walk0_ms):
                    self._excuse(record, "O1", f"window [{lo_ms}, {hi_ms})", bool(by_order) and trusted)
            origin_ms = self._all("SELECT origin_ms FROM sources")[0][0]
            if longest and origin_ms <= record.stamp_ms < mark[2] and record.lateness_ms <= longest:
                pass_no = 1 + len(self.audits_ms)
                by_order, state, walk0_ms = self._all(
                    f"SELECT by_order, state, walk0_ms FROM windows WHERE pass = {pass_no}"
                    f" AND lo_ms <= {record.stamp_ms} AND hi_ms > {record.stamp_ms}"
                )[0]
                # Skipped is listed as what nobody could look at.
                if state != "skipped" and not self._ends_a_cut_list(record, walk0_ms):
                    self._excuse(record, "O11", "the longest audit", bool(by_order) and trusted)

    def _ends_a_cut_list(self, record: Record, walk0_ms: int | None) -> bool:
        """Whether its millisecond fills a list that the server cuts, and nothing of the next day could be seen.

        A server that has no more answers the same: the protocol claims nothing of it.
        """
        cut_after, walked_ms = self.provider.nature.cut_after, walk0_ms or 0
        stamps = [one.stamp_ms for one in self.provider.records if one.visible_ms <= walked_ms]
        if not cut_after or stamps.count(record.stamp_ms) <= cut_after:
            return False
        return not any(record.stamp_ms < stamp_ms <= record.stamp_ms + DAY_MS for stamp_ms in stamps)

    def _excuse(self, record: Record, oracle: str, where: str, by_order: bool) -> None:
        """Disorder that looks sorted cannot be seen; what was closed by order is reopened once it shows."""
        if by_order and self.provider.nature.order != "ascending":
            self.unproven += 1
            return
        self.fail(oracle, f"{where} is claimed without {record}")

    # After every pull: everything else.

    def after_pull(self, walks: list[bool] | None, *, whole: bool) -> None:
        """`walks`: for each walk of a pull that ended well, whether its rows came in order; None: it ended otherwise.

        `whole`: no other process is in the middle of anything.
        """
        if not self._all("SELECT 1 FROM sources"):
            return
        self.after_commit()
        if self.mark is not None:
            self._check_claim(self.mark, self._trusted)
        self._check_rows()
        self._check_sums()
        self._check_tiles()
        self._check_watermark()
        if walks and False in walks and self._trusted and whole:
            self.fail("O9", "a walk showed disorder, and the order is still trusted")
        if walks is not None and self._falls > self._told:
            self.fail("O3", "the claim fell without a word in the log")
        self._falls = self._told = 0
        self._check_late()
        self._check_fences()

    def _check_rows(self) -> None:
        """O2 and O4."""
        truth = {record.msg_id: record for record in self.provider.records}
        rows = self._all("SELECT msg_id, timestamp_ms, raw FROM messages")
        for msg_id, timestamp_ms, raw in rows:
            record = truth[msg_id]
            if timestamp_ms != record.stamp_ms:
                self.fail("O2", f"{record} is stored with the stamp {timestamp_ms}")
            if raw not in record.raws:
                self.fail("O4", f"{record} is stored with other bytes")
        if len({row[0] for row in rows}) != len(rows):
            self.fail("O2", "a message is stored twice")
        for (raw,) in self._all("SELECT raw FROM quarantine"):
            if not any(raw in record.raws for record in self.provider.records if not record.readable):
                self.fail("O4", f"what is in quarantine was never served as unreadable: {raw!r}")

    def _check_sums(self) -> None:
        """O6."""
        for table in ("pages", "windows", "runs"):
            if self._all(f"SELECT 1 FROM {table} WHERE {_SUMS}"):
                self.fail("O6", f"the sum rule is broken in {table}")
        columns = ("received", "new", "known", "changed", "quarantined", "outside")
        sums = ", ".join(f"coalesce(sum(p.{name}), 0)" for name in columns)
        own = ", ".join(f"w.{name}" for name in columns)
        grouped = f"SELECT {own}, w.pages, {sums}, count(p.id) FROM windows w LEFT JOIN pages p ON p.window_id = w.id"
        for row in self._all(f"{grouped} GROUP BY w.id"):
            if row[:7] != row[7:]:
                self.fail("O6", f"a window counts {row[:7]}, its pages {row[7:]}")
        pages = "SELECT sum(received), sum(new), sum(changed), sum(quarantined) FROM pages"
        received, new, changed, quarantined = (value or 0 for value in self._all(pages)[0])
        tables = "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM message_revisions)"
        found = self._all(f"{tables}, (SELECT coalesce(sum(seen), 0) FROM quarantine)")[0]
        if found != (new, changed, quarantined):
            self.fail("O6", f"tables hold {found}, pages counted {(new, changed, quarantined)}")
        if received > self.provider.rows_served:
            self.fail("O6", f"{received} rows counted, {self.provider.rows_served} served")

    def _check_tiles(self) -> None:
        """O7."""
        rows = self._all("SELECT pass, lo_ms, hi_ms FROM windows ORDER BY pass, lo_ms")
        for before, after in pairwise(rows):
            if before[0] == after[0] and before[2] != after[1]:
                self.fail("O7", f"windows of pass {after[0]} do not touch: {before[1:]}, {after[1:]}")
        origin_ms = self._all("SELECT origin_ms FROM sources")[0][0]
        starts: dict[int, int] = {}
        for pass_no, lo_ms, _ in rows:
            starts.setdefault(pass_no, lo_ms)
        for pass_no, lo_ms in starts.items():
            if pass_no < 1000 and (lo_ms > origin_ms if pass_no == 1 else lo_ms != origin_ms):
                self.fail("O7", f"pass {pass_no} begins at {lo_ms}, not at the origin {origin_ms}")

    def _check_watermark(self) -> None:
        """O8."""
        (origin_ms,) = self._all("SELECT origin_ms FROM sources")[0]
        until_ms, from_ms = self._reach(1, origin_ms), origin_ms
        back = {row[1]: row[0] for row in self._tiles(1)}
        while from_ms in back:
            from_ms = back[from_ms]
        audited_ms = self._reach(1 + len(self.audits_ms), origin_ms) if self.audits_ms else origin_ms
        if self.mark != (from_ms, until_ms, audited_ms):
            self.fail("O8", f"the watermark says {self.mark}, the windows {(from_ms, until_ms, audited_ms)}")

    def _tiles(self, pass_no: int) -> list[tuple[int, ...]]:
        # An audit goes on behind what it could not look at, which is listed.
        states = ", ".join(f"'{state}'" for state in (*TILING, *(["skipped"] if pass_no > 1 else [])))
        return self._all(f"SELECT lo_ms, hi_ms FROM windows WHERE pass = {pass_no} AND state IN ({states})")

    def _reach(self, pass_no: int, until_ms: int) -> int:
        tiles = {row[0]: row[1] for row in self._tiles(pass_no)}
        while until_ms in tiles:
            until_ms = tiles[until_ms]
        return until_ms

    def _check_late(self) -> None:
        """O10: what came new into a range that was closed before, and is closed still, is a late arrival."""
        closed = set(self._all("SELECT lo_ms, hi_ms, fence FROM windows WHERE pass = 1 AND state = 'closed'"))
        still = closed & self._closed
        rows = self._all("SELECT msg_id, timestamp_ms FROM messages")
        noted = {row[0] for row in self._all("SELECT msg_id FROM late_arrivals")}
        for msg_id, timestamp_ms in rows:
            if msg_id in self._stored or msg_id in noted:
                continue
            if any(lo_ms <= timestamp_ms < hi_ms for lo_ms, hi_ms, _ in still):
                self.fail("O10", f"{msg_id} came late and nobody was told")
        self._closed, self._stored = closed, {row[0] for row in rows}

    def _check_fences(self) -> None:
        """O12."""
        rows = self._all("SELECT window_id, fence FROM pages ORDER BY window_id, id")
        if any(before[0] == after[0] and before[1] > after[1] for before, after in pairwise(rows)):
            self.fail("O12", "a process wrote a page into a window that another one had taken over")

    # At rest.

    def lacking(self, began_ms: int, settle_ms: int) -> str:
        """O5: what is due and not complete; `began_ms`: the earliest the last pull may have taken for the present."""
        if self.mark is None:
            return "nothing was ever begun"
        if self.mark[1] < began_ms - settle_ms - EPS_MS:
            return f"the watermark is {self.mark[1]} at {began_ms}"
        longest = max(self.audits_ms, default=0)
        if longest and self.mark[2] < began_ms - longest - EPS_MS - longest // 10:
            return f"audited until {self.mark[2]} at {began_ms}"
        return ""
