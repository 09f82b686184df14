"""What came back, and what it means: an answer, an error that passes, or one that stays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from archiver.errors import AnswerUnusable, ProviderUnavailable, QuotaExceeded, RequestRefused

_ERROR_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole. `where` is host and path, for messages; `date_ms` is the Date header.

    `elapsed_ms` went by from the sending of the request to the head of the answer; None where nobody measured it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    date_ms: int | None = None
    where: str = ""
    elapsed_ms: int | None = None


class RetryableError(ProviderUnavailable):
    """A failure that another attempt may not see; it never leaves this package.

    `unsent`: the service certainly did nothing. `unusable`: it answered, but not with what the call returns.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        unsent: bool = False,
        unusable: bool = False,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, hint=hint)
        self.unsent, self.unusable = unsent, unusable

    def given_up(self, outcome: str = "") -> ProviderUnavailable:
        """The same for those who do not repeat."""
        later = "" if self.retry_after_s is None else f"try again in {self.retry_after_s:.0f} s"
        text = "; ".join(part for part in (str(self), outcome, later) if part)
        kind = AnswerUnusable if self.unusable else ProviderUnavailable
        return kind(text, retry_after_s=self.retry_after_s, hint=self.hint)


_NOT_THE_SERVICE = "check base_url: a proxy, a portal or another service may answer there"


def envelope(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer, read as UTF-8 whatever charset it claims; AnswerUnusable if there is none."""
    try:
        content = json.loads(answer.body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise AnswerUnusable(f"{answer.where}: the answer is not whole JSON", hint=_NOT_THE_SERVICE) from None
    if not isinstance(content, dict):
        raise AnswerUnusable(f"{answer.where}: the answer is not a JSON object", hint=_NOT_THE_SERVICE)
    return content


def refusal(answer: Answer) -> Exception:
    """What an unexpected status means."""
    code = error_code(answer.body)
    problem = f"{answer.where} answered {answer.status}{f' ({code})' if code else ''}"
    if answer.status == 429 and code == "resource_limited":
        return QuotaExceeded(
            f"{problem}: the quota of the plan is used up", hint="waiting does not help; raise the plan"
        )
    if answer.status in (408, 425, 429) or answer.status >= 500:
        lasting = "if it lasts, ask the provider; archiver doctor shows when it answers again"
        asked_too_much = answer.status in (425, 429)
        return RetryableError(
            problem,
            retry_after_s=retry_after_s(answer),
            unsent=asked_too_much,
            hint=None if asked_too_much else lasting,
        )
    if answer.status < 300:
        return AnswerUnusable(problem)
    hint = "redirects are not followed; is base_url right?" if answer.status < 400 else None
    return RequestRefused(problem, status=answer.status, code=code, hint=hint)


def error_code(body: bytes) -> str:
    """The `error` of an error answer, if it is a plain token; nothing else of a body may be quoted."""
    if len(body) > _ERROR_BYTES:
        return ""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    code = content.get("error") if isinstance(content, dict) else None
    return code if isinstance(code, str) and re.fullmatch(r"[a-z0-9_]{1,64}", code) else ""


def retry_after_s(answer: Answer) -> float | None:
    """Retry-After in seconds; None where it is absent or makes no sense. A date counts from the answer's own."""
    text = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        return float(text)
    until_ms = http_date_ms(text)
    if until_ms is None or answer.date_ms is None:
        return None
    return max(0.0, (until_ms - answer.date_ms) / 1000)


def asks_for_rest(answer: Answer) -> float | None:
    """For how many seconds the service asks to be left alone by all; a Retry-After beside other statuses is no such."""
    return retry_after_s(answer) if answer.status in (429, 503) else None


def http_date_ms(text: str) -> int | None:
    try:
        moment = parsedate_to_datetime(text)
        # One without a zone is meant as GMT like all others, and must not be read as the time of this machine.
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
