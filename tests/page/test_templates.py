"""Templates by their text: nothing is marked as safe, nothing runs, nothing comes from elsewhere, all is translated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from archiver import page

PLACE = Path(page.__file__).parent
TEMPLATES = sorted((PLACE / "templates").glob("*.html"))
SOURCES = sorted(PLACE.rglob("*.py"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_marks_nothing_as_safe_and_runs_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for forbidden in (
        "|safe",
        "| safe",
        "autoescape",
        "Markup",
        "<script",
        "<iframe",
        "<object",
        "<style",
        "javascript:",
    ):
        assert forbidden not in text, forbidden
    assert not re.search(r"""\s(on\w+|style|srcset|target)\s*=""", text)
    assert not re.search(r"(https?:)?//", text), "nothing comes from elsewhere, and no link leads there"
    assert not re.search(r'<input[^>]*name="?csrf', text) or "csrf }}" in text or "form_token }}" in text


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_is_sent_has_the_token(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    forms = re.findall(r'<form method="post".*?</form>', text, re.DOTALL)
    assert len(forms) == text.count("<form")
    for form in forms:
        assert "token()" in form or 'name="csrf"' in form


def test_no_source_of_the_page_marks_anything_as_safe() -> None:
    for path in SOURCES:
        assert not re.search(r"Markup|[\"']safe[\"']|__html__", path.read_text(encoding="utf-8")), path


OUR_OWN = re.compile(r"^(\s|archiver|SHA-256|ext|ms|[^\w]|\d)*$")
"""Words that every language writes alike."""


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_all_text_of_a_template_is_translated(path: Path) -> None:
    """What stands between tags is a call of `say`, or no word at all."""
    tree = Environment(autoescape=True).parse(path.read_text(encoding="utf-8"))
    plain = "\0".join(node.data for node in tree.find_all(nodes.TemplateData))
    texts = re.sub(r"<[^>]*>", " ", plain.replace("\0", "")).split("\n")
    left = [text for text in texts if not OUR_OWN.match(re.sub(r"<[^>]*$|^[^<]*>", " ", text))]
    left = [text for text in left if not re.fullmatch(r".*(archiver pull|</?\w+).*", text)]
    assert left == []


TEXT_OF_RECORDS = re.compile(
    r"\{\{\s*(shown|shown_lines|as_bytes)\((?!m\.msg_id|asked\.name\.msg_id)[^}]*\}\}", re.DOTALL
)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_texts_of_others_stand_by_themselves(path: Path) -> None:
    """In <bdi>, so that their direction ends with them; in an <option> there is no such thing."""
    text = path.read_text(encoding="utf-8")
    for match in TEXT_OF_RECORDS.finditer(text):
        before = text[: match.start()]
        inside = before.rfind("<bdi") > before.rfind("</bdi>") or before.rfind("<option") > before.rfind("</option>")
        assert inside or "origin.source" in match[0] or "origin.program" in match[0], match[0]
