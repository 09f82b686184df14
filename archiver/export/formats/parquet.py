"""Parquet, as every engine reads it: one row a body, `app` and `day` in the folders' names, instants as timestamps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from archiver.export import Writer
from archiver.export.formats.rows import NAMES, rows
from archiver.model import Archived

pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps what it once had: 20 MB more at the peak
_INSTANT = pa.timestamp("ms", tz="UTC")
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("sent_at", "archived_at"), _INSTANT),
    **dict.fromkeys(("timestamp_ms", "file_length", "width", "height", "lateness_ms"), pa.int64()),
    **dict.fromkeys(("duration", "lat", "lng"), pa.float64()),
    **dict.fromkeys(("body_position", "revisions"), pa.int32()),
    "lossy": pa.bool_(),
}
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in NAMES if name != "app"])
_ROWS, _BYTES = 5_000, 8 << 20
"""Of a row group: what is held in memory at once."""


class Table(Writer):
    """A file of row groups."""

    def __init__(self, file: IO[bytes]) -> None:
        self._writer = pq.ParquetWriter(file, SCHEMA, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []
        self._bytes = 0

    def add(self, batch: Sequence[Archived]) -> None:
        for archived in batch:
            self._rows += rows(archived)
            self._bytes += len(archived.message.raw)
            if len(self._rows) >= _ROWS or self._bytes >= _BYTES:
                self._flush()

    def close(self) -> dict[str, Any]:
        self._flush()
        self._writer.close()
        return {}

    def _flush(self) -> None:
        if self._rows:
            columns = list(zip(*self._rows, strict=True))[1:]
            arrays = [_array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            self._writer.write_table(pa.table(arrays, schema=SCHEMA))
        self._rows, self._bytes = [], 0


def _array(column: Sequence[Any], kind: Any) -> Any:
    if kind != _INSTANT:
        return pa.array(column, kind)
    return (
        pa.array([None if text is None else text.removesuffix("Z") for text in column])
        .cast(pa.timestamp("ms"))
        .cast(_INSTANT)
    )
