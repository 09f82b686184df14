"""Draws what `make bench` has saved: `python -m bench.plot bench/results.json docs/performance.svg`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

_NAMES = {"copy": "bound", "merge": "merge bound", "archiver": "archiver", "reference": "by hand"}
_KINDS = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
_ROW, _LEFT, _WIDTH = 26, 120, 640


def draw(saved: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """Messages a second by bars, one for each subject; a whisker from the slowest to the fastest run."""
    bars, y = [], 24
    most = max(run["rate"] for kind in _KINDS for runs in saved[kind].values() for run in runs)
    scale = (_WIDTH - _LEFT - 90) / most
    for kind, title in _KINDS.items():
        bars.append(f'<text x="0" y="{y}" font-weight="bold">{title}, messages a second</text>')
        for name in (name for name in _NAMES if name in saved[kind]):
            y += _ROW
            rates = [run["rate"] for run in saved[kind][name]]
            bars.append(_bar(name, y, [rate * scale for rate in rates], median(rates)))
        y += 2 * _ROW
    style = "font-family:sans-serif;font-size:13px;background:#fff"
    box = f'viewBox="0 0 {_WIDTH} {y - _ROW}" width="{_WIDTH}" height="{y - _ROW}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} style="{style}">\n' + "\n".join(bars) + "\n</svg>\n"


def _bar(name: str, y: int, lengths: list[float], rate: float) -> str:
    colour = "#2563a8" if name == "archiver" else "#b9c4cf"
    middle, low, high = (_LEFT + round(of(lengths)) for of in (median, min, max))
    return (
        f'<text x="{_LEFT - 8}" y="{y}" text-anchor="end">{_NAMES[name]}</text>'
        f'<rect x="{_LEFT}" y="{y - 13}" width="{middle - _LEFT}" height="16" fill="{colour}"/>'
        f'<path d="M{low} {y - 5}H{high}" stroke="#333"/><text x="{high + 6}" y="{y}">{rate:,.0f}</text>'
    )


if __name__ == "__main__":
    source, target = (Path(name) for name in sys.argv[1:])
    target.write_text(draw(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")
