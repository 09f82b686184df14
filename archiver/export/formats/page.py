"""What every HTML page has: its policy, its style on screen and paper, and texts that act on nothing.

A page stands for itself. Its Content-Security-Policy allows its one style sheet, by its hash, pictures that lie in the
folder where they were exported, and nothing else; a text cannot steer its neighbours (isolated direction), and what
cannot be seen is shown as an escape.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re

from archiver.export.wording import Wording
from archiver.logs import readable, visible

UP = "../../../"
"""From the folder of a day to that of the export."""
END = "</body></html>\n"
_LONGEST_MARGIN = 80
_FONTS = 'system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif'
_STYLE = (
    f"body{{font:15px/1.5 {_FONTS}}}"
    """
body{margin:2rem auto;max-width:60rem;padding:0 1rem}
h1{font-size:1.4rem}
h2{font-size:1.1rem;margin:2rem 0 .5rem;border-bottom:1px solid #999}
article{margin:.4rem 0;padding:.2rem .6rem;border-left:3px solid #ccc;break-inside:avoid}
header,.kind{color:#555;font-size:.85rem}
b{color:#000}
p{margin:.1rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
nav{margin:.5rem 0}
nav a{margin-right:1.5rem}
img{max-width:100%;max-height:24rem;display:block;margin:.3rem 0}
.note{color:#8a4b00;font-size:.85rem}
table{border-collapse:collapse}
td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}
td.n{text-align:right}
@media print{nav{display:none}body{max-width:none;margin:0;padding:0;font-size:10.5pt}
  a{color:inherit;text-decoration:none}h2{break-after:avoid}img{max-height:9cm;break-inside:avoid}}
"""
)


def begin(title: str, wording: Wording, case: str | None, *, pictures: bool = False) -> str:
    """The beginning of a page; `pictures`: of files in the folder."""
    style = _STYLE + _on_paper(title, "" if case is None else wording.labelled("case", case))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    images = "; img-src 'self'" if pictures else ""
    policy = f"default-src 'none'; style-src 'sha256-{digest}'{images}; base-uri 'none'; form-action 'none'"
    language = {"zh": "zh-CN"}.get(wording.language, wording.language)
    return (
        f'<!DOCTYPE html>\n<html lang="{language}"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
        '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(visible(title))}</title>\n<style>{style}</style></head><body>\n<h1>{text(title)}</h1>\n"
    )


def _on_paper(title: str, case: str) -> str:
    """The margins of printed pages: the title, the case, and which page of how many it is."""
    boxes = {"top-left": _quoted(title), "top-right": _quoted(case)}
    boxes["bottom-right"] = 'counter(page) " / " counter(pages)'
    margins = "".join(f"@{place}{{content:{content};font:9pt {_FONTS};color:#333}}" for place, content in boxes.items())
    return f"@page{{margin:18mm 15mm;{margins}}}\n"


def _quoted(words: str) -> str:
    """A text of others as a string of CSS: every sign but ASCII letters and digits as its number."""
    short = words if len(words) <= _LONGEST_MARGIN else words[: _LONGEST_MARGIN - 1] + "…"
    signs = (sign if sign.isascii() and sign.isalnum() else f"\\{ord(sign):06x}" for sign in visible(short))
    return f'"{"".join(signs)}"'


_MARKUP = re.compile("[&<>\"']").search


def text(value: object) -> str:
    """Text of others in its own direction, escaped, with line ends as they are and other controls visible."""
    lines = str(value)
    if not lines.isprintable():
        lines = "\n".join(map(readable, lines.replace("\r\n", "\n").split("\n")))
    return f'<bdi dir="auto">{html.escape(lines) if _MARKUP(lines) else lines}</bdi>'


def link(path: str, words: str, anchor: str = "") -> str:
    """A link to a page. A name on disk holds %23 as it stands; in a link its percent sign is written %25."""
    return f'<a href="{html.escape(path.replace("%", "%25"))}{anchor}">{html.escape(words)}</a>'
