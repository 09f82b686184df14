"""Passes: a pass is its lag, for ever. Numbers are given out once per lag, whatever order a list of audits has.

Numbered by their place in the list, a shorter audit that is dropped would hand its windows to a longer one.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from archiver.model import Pass
from archiver.store.apps import SourceKey, of_source
from archiver.store.engine import Tx
from archiver.store.schema import passes

FIRST_AUDIT, FIRST_ASKED = 2, 1_000
"""Audits of the configuration are numbered from 2; those that somebody asks for from 1000."""

_KNOWN = sa.select(passes.c.number, passes.c.lag_ms).where(of_source(passes.c)).order_by(passes.c.lag_ms)


def audits(tx: Tx, key: SourceKey) -> list[Pass]:
    """All audits that were ever configured, the shortest lag first."""
    return [Pass(row.number, row.lag_ms) for row in tx.conn.execute(_KNOWN, key.bound)]


def numbered(tx: Tx, key: SourceKey, configured: Sequence[Pass]) -> tuple[Pass, ...]:
    """The configured passes under the archive's own numbers. The caller holds the source's row."""
    pass_no_of = {audit.lag_ms: audit.pass_no for audit in audits(tx, key)}
    known_by = []
    for a_pass in configured:
        if a_pass.pass_no < FIRST_AUDIT:
            known_by.append(a_pass)
            continue
        if a_pass.lag_ms not in pass_no_of:
            pass_no_of[a_pass.lag_ms] = max(pass_no_of.values(), default=FIRST_AUDIT - 1) + 1
            row = {
                "app_id": key.app_id,
                "source": key.source,
                "number": pass_no_of[a_pass.lag_ms],
                "lag_ms": a_pass.lag_ms,
            }
            tx.conn.execute(passes.insert(), row)
        known_by.append(Pass(pass_no_of[a_pass.lag_ms], a_pass.lag_ms))
    return tuple(known_by)
