"""What people read, in their language: English stands in the code, other languages in catalogues under locale/.

Logs and what machines read stay English. `say` and `plural` are what a catalogue is made from (`make words`).
"""

from __future__ import annotations

import gettext
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from string import Formatter

from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

LANGUAGES = {"en": None, "zh": "zh_CN"}
"""The name that an option takes, and its catalogue."""

_LOCALE = Path(__file__).parent / "locale"

REMEDY = "remedy"
"""The context of remedies in a catalogue."""
REMEDIES = _LOCALE / "remedies.json"
"""All remedies that the code can name, as templates with {0}, {1} for their values; made by `make words`."""
PROBLEM = "problem"
"""The context of what verification says of a row, in a catalogue."""
PROBLEMS = _LOCALE / "problems.json"
"""As REMEDIES, of what a verification can find."""
ERROR = "error"
"""The context of what errors say, in a catalogue."""
ERRORS = _LOCALE / "errors.json"
"""As REMEDIES, of the errors that the review page may have to show."""

_DECISIONS = ("approved", "begun", "refused", "waiting", "withdrawn")


class Language:
    """One language: texts by their English, with the values put in."""

    def __init__(self, name: str) -> None:
        self.name = name
        catalogue = LANGUAGES[name]
        self._texts: gettext.NullTranslations = (
            gettext.NullTranslations()
            if catalogue is None
            else gettext.translation("archiver", localedir=_LOCALE, languages=[catalogue])
        )

    def say(self, text: str, /, **values: object) -> str:
        """A text with its `{values}`. The values are put in as they are: escape them for where the text goes."""
        wording = self._texts.gettext(text)
        return wording.format(**values) if values else wording

    def plural(self, one: str, many: str, number: int, /, **values: object) -> str:
        """A text about `{number}` things, with thousands parted by commas."""
        return self._texts.ngettext(one, many, number).format(number=f"{number:,}", **values)

    def remedy(self, text: str) -> str:
        """What an error advises, by its English: the values in it are found by the template that it was made from."""
        return self._by_template(REMEDY, text)

    def problem(self, text: str) -> str:
        """What a verification reports, by its English, as `remedy`; a problem may name another one."""
        return self._by_template(PROBLEM, text)

    def error(self, text: str) -> str:
        """What an error says, by its English, as `remedy`; on a terminal and in logs it stays as it is."""
        return self._by_template(ERROR, text)

    def _by_template(self, context: str, text: str) -> str:
        if self.name == "en":
            return text
        for pattern, template in _templates(context):
            if values := pattern.fullmatch(text):
                inner = values.groups()
                if context == PROBLEM:
                    inner = tuple(map(self.problem, inner))
                elif context == ERROR:
                    inner = tuple(map(self._code, inner))
                return self._texts.pgettext(context, template).format(*inner)
        return text

    def _code(self, text: str) -> str:
        """A value that is a word of ours, and not somebody's text."""
        if text in _DECISIONS:
            return self._texts.gettext(text)
        reasons = {template for _, template in _templates(ERROR) if "{" not in template}
        return self._texts.pgettext(ERROR, text) if text in reasons else text

    def length(self, ms: float) -> str:
        """A stretch of time in one unit, as people say it."""
        say = self.say
        units = ((DAY_MS, say("{count} d")), (HOUR_MS, say("{count} h")), (MINUTE_MS, say("{count} min")))
        for unit, text in units:
            if abs(ms) >= 2 * unit:
                return text.format(count=f"{ms / unit:.1f}")
        return say("{count} s", count=f"{ms / SECOND_MS:.0f}")

    def sentences(self, texts: Iterable[str]) -> str:
        """Whole sentences in a row, parted as the language parts them."""
        return ("" if self.name == "zh" else " ").join(texts)


@lru_cache
def _templates(context: str) -> list[tuple[re.Pattern[str], str]]:
    """The most specific first: what has more text of its own."""
    templates = json.loads({REMEDY: REMEDIES, PROBLEM: PROBLEMS, ERROR: ERRORS}[context].read_text(encoding="utf-8"))
    return [(_matching(template), template) for template in sorted(templates, key=len, reverse=True)]


def _matching(template: str) -> re.Pattern[str]:
    parts = [part for part, *_ in Formatter().parse(template)]
    ends_with_value = template.endswith("}") and not template.endswith("}}")
    pattern = "(.+)".join(map(re.escape, parts)) + ("(.+)" if ends_with_value else "")
    return re.compile(pattern, re.DOTALL)


@lru_cache
def language(name: str) -> Language:
    """A language by its option's name: en or zh."""
    return Language(name)


ENGLISH = language("en")


def of_environment(environ: Mapping[str, str]) -> str:
    """The language that a locale asks for, by the first of LC_ALL, LC_MESSAGES and LANG that is set."""
    chosen = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environ.get(name))), "")
    return "zh" if chosen.lower().startswith("zh") else "en"
