"""Languages: nothing that people read is untranslated, no value is lost, and a locale chooses as one expects."""

from __future__ import annotations

import re
from string import Formatter

import pytest

from archiver.language import LANGUAGES, language, of_environment
from tests import words


@pytest.mark.full
def test_all_that_people_read_is_translated() -> None:
    catalogue, template = words.read(), words.template()
    texts = {message.id for message in template if message.id}
    assert len(texts) > 40
    assert {message.id for message in catalogue if message.id} == texts, "make words"
    lacking = [message.id for message in catalogue if message.id and not message.string]
    assert not lacking, "make words names them"


def test_a_translation_has_the_values_of_its_text() -> None:
    for message in words.read():
        if message.id:
            assert {_values(text) for text in _all(message.string)} == {_values(_all(message.id)[-1])}, message.id


def _all(texts: object) -> list[str]:
    """One text, or its forms by number."""
    return [str(text) for text in texts] if isinstance(texts, list | tuple) else [str(texts)]


def _values(text: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name)


def test_what_gettext_reads_is_made_of_the_catalogue() -> None:
    assert words.CATALOGUE.with_suffix(".mo").read_bytes() == words.compiled(words.read()), "make words"


def test_chinese_has_chinese_signs() -> None:
    for message in words.read():
        for text in _all(message.string) if message.id else ():
            bare = re.sub(r"\{[^}]*\}", "", text)
            assert not re.search(r"[\u4e00-\u9fff][,:;()]|[,:;()][\u4e00-\u9fff]", bare), text


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE", "LC_MESSAGES": "zh_CN.GB18030"}, "zh"),
        ({"LC_ALL": "", "LANG": "zh_CN"}, "zh"),
    ],
)
def test_a_locale_chooses(environ: dict[str, str], name: str) -> None:
    assert of_environment(environ) == name


def test_values_are_put_in_as_they_are() -> None:
    for name in LANGUAGES:
        assert "{evil} %s" in language(name).say("lost: {reason}", reason="{evil} %s")
