"""What can go wrong, switchable one by one while the server runs.

A rate is the share of requests it hits (0..1, drawn from a seeded generator); the other fields are settings of how
this server behaves. Where the provider's behaviour is not known, both answers are a switch here.
"""

from __future__ import annotations

import difflib
import random
import re
import threading
from dataclasses import dataclass, fields
from typing import Annotated, NamedTuple, get_type_hints

from archiver.errors import UsageError

Rate = Annotated[float, "rate"]


class Described(NamedTuple):
    """A fault as `--help` shows it."""

    name: str
    default: object
    is_rate: bool
    about: str


@dataclass
class Faults:
    """Every fault; all are off or harmless by default. Change any of them while the server runs."""

    # Which requests the rates below may hit.
    only: Annotated[str, "rates hit only paths that contain this text"] = ""
    after: Annotated[int, "rates hit nothing before so many requests (counted where `only` fits)"] = 0
    times: Annotated[int, "rates hit at most so many times in all; 0: without limit"] = 0

    # The answer as a whole.
    http_500: Annotated[Rate, "500 with the provider's error envelope"] = 0.0
    http_502_html: Annotated[Rate, "502 with a gateway's HTML page"] = 0.0
    http_503: Annotated[Rate, "503 with `Retry-After: retry_after`, in the form `over_rate` names"] = 0.0
    http_429: Annotated[Rate, "429 reach_limit with `Retry-After: retry_after`"] = 0.0
    http_401: Annotated[Rate, "401 although the token is good; the token dies with it"] = 0.0
    html_200: Annotated[Rate, "200 with an HTML page where JSON belongs"] = 0.0
    error_200: Annotated[Rate, "200 with an error envelope"] = 0.0
    redirect: Annotated[Rate, "307 to the same path on `redirect_to`"] = 0.0
    redirect_to: Annotated[str, "where `redirect` and `file_redirect` point; empty: this server's other host"] = ""
    retry_after: Annotated[str, "text of the Retry-After header of 429 and 503; empty: no header"] = ""

    # How the bytes arrive.
    reset: Annotated[Rate, "the connection is reset instead of an answer"] = 0.0
    hang: Annotated[Rate, "no answer for `hang_s`, then the connection closes"] = 0.0
    hang_s: Annotated[float, "how long `hang` lasts, in seconds"] = 30.0
    drip: Annotated[Rate, "the body arrives in `drip_pieces` pieces, `drip_ms` apart"] = 0.0
    drip_ms: Annotated[float, "pause between two pieces"] = 100.0
    drip_pieces: Annotated[int, "number of pieces"] = 20
    latency_ms: Annotated[float, "every answer waits so long after its rows were read"] = 0.0
    cut_body: Annotated[Rate, "the connection closes within the body, short of its Content-Length"] = 0.0
    cut_unframed: Annotated[Rate, "as cut_body, but without a Content-Length that would show it"] = 0.0
    cut_json: Annotated[Rate, "half of the JSON, with a Content-Length that fits"] = 0.0
    cut_gzip: Annotated[Rate, "half of a gzip-encoded body, with a Content-Length that fits"] = 0.0
    gzip_bomb: Annotated[Rate, "a small gzip-encoded body that inflates to `bomb_mb`"] = 0.0
    bomb_mb: Annotated[int, "size of an inflated bomb in MiB"] = 256
    gzip: Annotated[bool, "bodies are gzip-encoded where the client accepts it"] = False
    charset: Annotated[str, "charset named in Content-Type, whatever the bytes are"] = "UTF-8"
    silent_close: Annotated[Rate, "the connection closes after a whole answer that promised to keep it"] = 0.0

    # Time.
    clock_offset_ms: Annotated[int, "what the server tells about its time is off by so much"] = 0
    clock_jitter_ms: Annotated[int, "every answer's clock is off by up to so much, either way"] = 0
    day_ahead: Annotated[Rate, "one answer's clock is a day ahead"] = 0.0
    timestamp_missing: Annotated[bool, "envelopes lack `timestamp` and `duration`"] = False
    date_missing: Annotated[bool, "answers lack the Date header"] = False

    # Tokens and limits.
    token_ttl: Annotated[float, "longest life of a token, in seconds"] = 5_184_000
    token_requests_valid: Annotated[int, "a token dies after so many requests; 0: never"] = 0
    refuse_tokens: Annotated[bool, "every token call is refused as for a wrong secret"] = False
    refuse_bearer: Annotated[bool, "every token is refused, however fresh"] = False
    unauthorized_form: Annotated[str, "description of an expired token's 401: expired, oauth or bare (none)"] = (
        "expired"
    )
    requests_per_second: Annotated[float, "more requests a second than this are refused; 0: no limit"] = 0.0
    over_rate: Annotated[str, "the refusal: 503 (JSON), 503_text or 429 (reach_limit)"] = "503_text"
    resource_limited: Annotated[bool, "429 resource_limited: the plan's quota is used up"] = False

    # Pages of the query interface.
    lower_only: Annotated[bool, "the later dialect: and, or, order by are refused, order is ascending"] = False
    empty_entities_missing: Annotated[Rate, "a page without the key `entities`"] = 0.0
    duplicate_rows: Annotated[Rate, "a page repeats rows of its own"] = 0.0
    short_pages: Annotated[Rate, "a page holds fewer rows than asked for, with a cursor"] = 0.0
    empty_pages: Annotated[Rate, "a page without rows, with a new cursor"] = 0.0
    repeat_pages: Annotated[Rate, "a page comes with a new cursor that leads to the same rows again"] = 0.0
    dead_cursor: Annotated[Rate, "a cursor is refused with `dead_cursor_status`"] = 0.0
    dead_cursor_status: Annotated[int, "400 or 404"] = 400
    lost_cursor: Annotated[Rate, "a cursor is ignored: first page again"] = 0.0
    loop_cursor: Annotated[Rate, "a page hands out the cursor it was asked with"] = 0.0
    outside_rows: Annotated[Rate, "a page holds rows that the query did not ask for"] = 0.0
    lost_rows: Annotated[Rate, "a page leaves one row out, without a sign"] = 0.0
    order_ignored: Annotated[bool, "rows come in no order, every one once"] = False
    always_descending: Annotated[bool, "rows come newest first, whatever was asked"] = False
    limit_ignored: Annotated[int, "rows on a page, whatever limit was asked; 0: as asked"] = 0
    truncate_after: Annotated[int, "a query ends after so many rows, without a cursor; 0: never"] = 0
    poison: Annotated[str, "ids (comma-separated): a page that would hold one of these messages is a 500"] = ""
    last_cursor: Annotated[str, "`cursor` of the last page: absent, null or empty"] = "absent"

    # Hourly files.
    hour_zone: Annotated[str, "zone of the hours that name the files"] = "+08:00"
    hour_delay_min: Annotated[float, "minutes from an hour's end to its file"] = 25.0
    hour_retention_h: Annotated[float, "hours a file is kept"] = 72.0
    hour_growth: Annotated[Rate, "share of an hour's records that its file holds only 24 h later"] = 0.1
    hour_by_ingest: Annotated[bool, "a record lies in the file of the hour it was ingested in"] = False
    hour_requests_per_minute: Annotated[float, "more links a minute than this are refused with 429; 0: no limit"] = 0.0
    hour_early_404: Annotated[bool, "an hour without a file yet is 404 instead of 400"] = False
    hour_unstored: Annotated[str, "hours (yyyyMMddHH, comma-separated) that answer 400 for ever"] = ""
    hour_link_seconds: Annotated[float, "life of a signed link; 0: expired at once"] = 1800.0
    hour_cut: Annotated[Rate, "half of the gzip stream, with a Content-Length that fits"] = 0.0
    hour_trailing: Annotated[Rate, "bytes stand behind the end of the gzip stream"] = 0.0
    hour_empty: Annotated[Rate, "a file of 0 bytes"] = 0.0
    hour_bomb: Annotated[Rate, "a file that inflates to `bomb_mb`"] = 0.0
    hour_members: Annotated[bool, "the file consists of several gzip members"] = False
    hour_inflated: Annotated[bool, "the file arrives inflated, as plain text"] = False
    hour_encoded: Annotated[bool, "the file is labelled Content-Encoding: gzip"] = False
    hour_crlf: Annotated[bool, "lines end with CR LF"] = False
    hour_bom: Annotated[bool, "the file begins with a byte order mark"] = False
    hour_blank_lines: Annotated[bool, "blank lines between records"] = False
    hour_glued: Annotated[bool, "no newline between records"] = False
    hour_bad_line: Annotated[bool, "one line in the middle is no JSON"] = False
    hour_duplicates: Annotated[bool, "some records stand in the file twice"] = False
    hour_string_timestamps: Annotated[bool, "timestamps are strings of digits"] = False
    hour_outer_from: Annotated[bool, "outer `from` and `to` are internal names, unlike those in `payload`"] = False
    hour_ext_absent: Annotated[bool, "`ext` is left out where it is empty"] = False

    # Callbacks, which `Sandbox.callbacks` sends.
    callback_loss: Annotated[float, "share of callbacks that are never sent"] = 0.0
    callback_twice: Annotated[float, "share of callbacks that are sent twice"] = 0.0
    callback_late: Annotated[float, "share of callbacks that are held back, and come after later ones"] = 0.0

    # Attachments, sending, presence.
    file_restricted: Annotated[bool, "attachments need their share-secret"] = False
    file_redirect: Annotated[bool, "attachments redirect to the other host"] = False
    file_kept_days: Annotated[float, "days an attachment is kept, then 404 file_expired; 0: for ever"] = 7.0
    file_missing: Annotated[Rate, "404 entity_not_found for an attachment that exists"] = 0.0
    send_refused: Annotated[bool, "sending is refused with 403, reach limit"] = False
    send_delay_ms: Annotated[int, "a sent message can be read so much later than it is stamped"] = 0
    presence_form: Annotated[str, "answer of users/{u}/status: seed or modern"] = "seed"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[+-]\d\d:\d\d", self.hour_zone):
            raise UsageError(f"hour_zone is an offset like +08:00, not {self.hour_zone!r}")
        choices = {
            "unauthorized_form": ("expired", "oauth", "bare"),
            "over_rate": ("503", "503_text", "429"),
            "last_cursor": ("absent", "null", "empty"),
            "presence_form": ("seed", "modern"),
        }
        for fault in self.described():
            value = getattr(self, fault.name)
            if fault.is_rate and not 0 <= value <= 1:
                raise UsageError(f"{fault.name} is a rate: give a number from 0 to 1, not {value}")
            if fault.name in choices and value not in choices[fault.name]:
                raise UsageError(f"{fault.name} is one of {', '.join(choices[fault.name])}, not {value!r}")

    @classmethod
    def described(cls) -> list[Described]:
        hints = get_type_hints(cls, include_extras=True)
        notes = {name: hint.__metadata__ for name, hint in hints.items()}
        return [Described(f.name, f.default, notes[f.name][0] == "rate", notes[f.name][-1]) for f in fields(cls)]

    @classmethod
    def parse(cls, texts: list[str] | tuple[str, ...]) -> Faults:
        """Faults from `NAME=RATE` and `NAME=VALUE`; a bare `NAME` switches it on. Raises UsageError."""
        kinds = get_type_hints(cls)
        values: dict[str, object] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            name = name.strip().replace("-", "_")
            if name not in kinds:
                near = difflib.get_close_matches(name, kinds, n=1, cutoff=0.0)[0]
                raise UsageError(f"There is no fault {name!r}.", hint=f"Did you mean {near}?")
            values[name] = _value(name, kinds[name], value.strip() if equals else "1")
        return cls(**values)  # type: ignore[arg-type]


def _value(name: str, kind: type, text: str) -> object:
    if kind is bool:
        words = {
            "1": True,
            "true": True,
            "on": True,
            "yes": True,
            "0": False,
            "false": False,
            "off": False,
            "no": False,
        }
        if text.lower() not in words:
            raise UsageError(f"{name} is on or off, not {text!r}")
        return words[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{name} takes a number, not {text!r}") from None


class Dice:
    """Draws whether a rate hits. One client that asks in the same order meets the same faults."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._seen = self._hits = 0

    def count(self, faults: Faults, path: str) -> None:
        """One more request; called once a request, before anything is drawn for it."""
        with self._lock:
            self._seen += faults.only in path

    def hits(self, faults: Faults, name: str, path: str) -> bool:
        rate: float = getattr(faults, name)
        if rate <= 0 or faults.only not in path:
            return False
        with self._lock:
            if self._seen <= faults.after or (faults.times and self._hits >= faults.times):
                return False
            hit = self._random.random() < rate
            self._hits += hit
            return hit

    def between(self, low: int, high: int) -> int:
        with self._lock:
            return self._random.randint(low, high)
