"""The settings, section by section; a field is checked on its own and against those above it.

Keys lose their unit in TOML and gain it in Python (`settle` there, `settle_ms` here), so that no number is read in the
wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from archiver.config import lists, texts, values
from archiver.config.callbacks import Callbacks
from archiver.config.evidence import Evidence, WebhookSink, signature_for
from archiver.config.review import ROLES, Review
from archiver.config.section import Section, SomeTime, TimeOrOff
from archiver.model import HOUR_MS, MINUTE_MS, SECOND_MS

Time = Annotated[int, PlainValidator(values.parse_time)]
Duration = Annotated[int, PlainValidator(values.parse_duration)]
Name = Annotated[str, AfterValidator(values.key_part)]
Hosts = Annotated[tuple[str, ...], PlainValidator(lists.parse_hosts)]


class Database(Section):
    """`group`: what is written may be read and written by the account's group, not by the account alone."""

    url: Annotated[SecretStr, PlainValidator(values.database_url)] = SecretStr("sqlite:///archive.db")
    group: bool = False

    @property
    def sqlalchemy_url(self) -> str:
        """With the password: for the engine alone."""
        return self.url.get_secret_value()

    @property
    def safe_url(self) -> str:
        """For people: `***` where a password stands, be it before the host or among the parameters."""
        text = re.sub(r"(?<=//)([^:/@]*):.*@", r"\1:***@", self.sqlalchemy_url)
        return re.sub(r"(?i)([?&][a-z_]*(?:pass|secret|scram)[a-z_]*=)[^&]*", r"\1***", text)


class Schedule(Section):
    every_ms: SomeTime = MINUTE_MS
    lease_ms: SomeTime = 3 * MINUTE_MS
    overdue_ms: SomeTime = 15 * MINUTE_MS


class Http(Section):
    """`ca_file`: certificates that are trusted beside the usual ones. `proxy`: its address may hold a password."""

    deadline_ms: SomeTime = 60 * SECOND_MS
    ca_file: Annotated[Path | None, PlainValidator(values.ca_file)] = None
    proxy: Annotated[SecretStr | None, PlainValidator(values.proxy)] = None

    @property
    def ca_path(self) -> str | None:
        return None if self.ca_file is None else str(self.ca_file)

    @property
    def proxy_url(self) -> str | None:
        """With the password: for HTTP alone."""
        return None if self.proxy is None else self.proxy.get_secret_value()


class Attachments(Section):
    """Where contents go, and which hosts may be asked for them beside the provider's own."""

    store: Annotated[str, AfterValidator(values.store_url)]
    endpoint: Annotated[str | None, AfterValidator(lambda value: value and values.base_url(value))] = None
    rate: Annotated[values.Rate, PlainValidator(values.parse_rate)] = values.Rate(10, SECOND_MS)
    workers: Annotated[int, PlainValidator(values.whole(1, 64))] = 4
    file_hosts: Hosts = ()
    redirect_hosts: Hosts = ()
    foreign_hosts: Hosts = ()


class Metrics(Section):
    """Where `run` answers those who watch it. Loopback, unless somebody decides otherwise."""

    listen: Annotated[str, AfterValidator(values.address)] = "127.0.0.1:9473"

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class Alerts(Section):
    """Where the program sends alerts. The addresses are secrets: anybody who knows one can post there."""

    webhook: Annotated[SecretStr | None, PlainValidator(values.secret_url)] = None
    form: Literal["json", "dingtalk", "wecom", "feishu"] = "json"
    sign_secret: SecretStr | None = None
    runbook_url: Annotated[str | None, AfterValidator(values.page_url)] = None
    heartbeat: Annotated[SecretStr | None, PlainValidator(values.secret_url)] = None
    repeat_ms: SomeTime = HOUR_MS

    @field_validator("sign_secret")
    @classmethod
    def _only_where_it_is_checked(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        return signature_for(value, info)


class Canary(Section):
    """A marked message through the whole chain: to whom, how often, and how long it may take."""

    app: str | None = None
    user: str | None = Field(default=None, min_length=1)
    group: str | None = Field(default=None, min_length=1)
    every_ms: TimeOrOff = 15 * MINUTE_MS
    within_ms: TimeOrOff = None

    @field_validator("group")
    @classmethod
    def _one_target(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("user") is not None:
            raise ValueError("stands beside user; keep one of them")
        return value


class Display(Section):
    """How people are answered: in which zone and language. What machines read stays in UTC and English."""

    zone: Annotated[str | None, AfterValidator(values.zone_name)] = None
    language: Literal["zh", "en"] | None = None


class Lifecycle(Section):
    """Who decides, and where: `two_persons` are the acts that one person alone may only propose. And what may be
    deleted."""

    decided_in: Literal["database", "page"] = "database"
    two_persons: tuple[Literal["export", "accept", "rotate"], ...] = ()
    deletion: bool = True
    max_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    erasures_file: Path | None = None


class App(Section):
    """One app read through one source. Order matters: a field is checked against those above it."""

    provider: ClassVar[str] = "easemob"
    """Whose app it is; see `archiver.sources.PROVIDERS`. There is one so far, so no key chooses it."""
    org: Name
    app: Name
    app_id: Name | None = None
    allow_plain_http: bool = False
    base_url: str = "https://a1.easemob.com"
    path_prefix: Annotated[str, AfterValidator(values.path_prefix)] = "/{org}/{app}"
    client_id: Annotated[str, Field(min_length=1), AfterValidator(texts.credential)]
    client_secret: SecretStr
    source: Literal["cursor", "hourly"] = "cursor"
    start_ms: Time
    page_size: Annotated[int, PlainValidator(values.whole(1, 1000))] = 1000
    retention_ms: TimeOrOff = None
    settle_ms: Duration
    audits_ms: Annotated[tuple[int, ...], PlainValidator(values.parse_lags)]
    early_ms: TimeOrOff = None
    rate: Annotated[values.Rate, PlainValidator(values.parse_rate)]
    workers: Annotated[int, PlainValidator(values.whole(1, 64))] = 1
    dialect: Literal["both", "lower_only"] = "both"
    hour_utc_offset_ms: Annotated[int, PlainValidator(values.parse_offset)] = 8 * HOUR_MS
    give_up_ms: SomeTime = 30 * SECOND_MS
    send_api: Literal["2014", "current"] = "2014"

    @property
    def name(self) -> str:
        return f"{self.org}#{self.app}"

    @property
    def prefix(self) -> str:
        """What stands before `/token` and `/chatmessages` in every path of this app."""
        return self.path_prefix.format(org=self.org, app=self.app, app_id=self.app_id)

    @field_validator("base_url")
    @classmethod
    def _base_url_is_encrypted_or_private(cls, value: str, info: ValidationInfo) -> str:
        return values.base_url(value, private_http=info.data.get("allow_plain_http", False))

    @field_validator("client_secret")
    @classmethod
    def _client_secret_says_something(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().strip():
            raise ValueError("is empty")
        texts.credential(value.get_secret_value())
        return value

    @field_validator("path_prefix")
    @classmethod
    def _path_prefix_can_be_filled(cls, value: str, info: ValidationInfo) -> str:
        if "{app_id}" in value and info.data.get("app_id") is None:
            raise ValueError(f"{value!r} needs app_id; write it as the console shows it")
        return value

    @field_validator("settle_ms", "audits_ms")
    @classmethod
    def _lags_end_before_the_retention(
        cls, value: int | tuple[int, ...], info: ValidationInfo
    ) -> int | tuple[int, ...]:
        """A look that comes when the provider has dropped the records sees an empty range."""
        retention, settle, text = info.data.get("retention_ms"), info.data.get("settle_ms"), values.duration_text
        for lag in value if isinstance(value, tuple) else (value,):
            if retention is not None and lag >= retention:
                raise ValueError(f"{text(lag)} is not below retention ({text(retention)}); shorten it")
            if isinstance(value, tuple) and settle is not None and lag <= settle:
                raise ValueError(f"{text(lag)} does not exceed settle ({text(settle)}); lengthen it, or write []")
        return value


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    database: Database
    schedule: Schedule
    http: Http
    apps: tuple[App, ...]
    attachments: Attachments | None = None
    metrics: Metrics | None = None
    alerts: Alerts | None = None
    canary: Canary | None = None
    evidence: Evidence | None = None
    review: Review | None = None
    lifecycle: Lifecycle | None = None
    erasures_file: Path | None = None
    """Where erasures are noted outside the database; None where no directory of state is known."""
    callbacks: Callbacks | None = None
    display: Display = Display()
    warnings: tuple[str, ...] = ()

    def secrets(self) -> Iterator[str]:
        """What must never be logged; wiring hands it to `logs.keep_secret`."""
        yield from (app.client_secret.get_secret_value() for app in self.apps)
        given = re.findall(r"//[^:/@]*:(.+)@", self.database.sqlalchemy_url)
        given += re.findall(r"(?i)[?&][a-z_]*(?:pass|secret|scram)[a-z_]*=([^&]+)", self.database.sqlalchemy_url)
        given += re.findall(r"//[^/@]*:([^/@]+)@", self.http.proxy_url or "")
        yield from given
        yield from (unquote(text) for text in given)  # as drivers would quote it
        sinks = [sink for sink in self.evidence.anchors if isinstance(sink, WebhookSink)] if self.evidence else []
        yield from (sink.sign_secret.get_secret_value() for sink in sinks if sink.sign_secret)
        if self.alerts and self.alerts.sign_secret:
            yield self.alerts.sign_secret.get_secret_value()
        urls = [sink.webhook for sink in sinks] + ([self.alerts.webhook, self.alerts.heartbeat] if self.alerts else [])
        for url in urls:
            if url is not None:
                text = url.get_secret_value()
                yield text
                # Libraries tell host, path and query apart, and name them one by one.
                parts = re.split(r"[?#]", text.partition("://")[2].partition("/")[2])
                # A path of one word, as /hook, is no secret, and stands in many a sentence.
                yield from (part for part in parts if part and not re.fullmatch("[a-z]{1,16}/?", part))


def describe(settings: Settings) -> dict[str, Any]:
    """Everything that was understood, in the words of the file, secrets as `***`."""
    description: dict[str, Any] = {
        "database": {"url": settings.database.safe_url, "group": settings.database.group},
        "schedule": _described(settings.schedule),
        "http": _described(settings.http),
        "apps": [_described(app) for app in settings.apps],
    }
    optional = ("attachments", "metrics", "alerts", "canary", "evidence", "review", "lifecycle", "callbacks", "display")
    for name in optional:
        if section := getattr(settings, name):
            description[name] = _described(section)
    return description


def _described(section: Section) -> dict[str, Any]:
    described = {
        field.alias or name: _value_text(field.alias or name, getattr(section, name))
        for name, field in type(section).model_fields.items()
        if name not in ("anchors", "apps")
    }
    if isinstance(section, Evidence):
        described["anchors"] = [_described(sink) for sink in section.anchors]
    if isinstance(section, Callbacks):
        described["apps"] = [_described(app) for app in section.apps]
    return described


_NAMES = ("file_hosts", "redirect_hosts", "foreign_hosts", "two_persons", "peers", *ROLES)
"""Lists of names; the others are of durations."""


def _value_text(key: str, value: object) -> object:
    match key, value:
        case "start", int(ms):
            return values.time_text(ms)
        case "hour_utc_offset", int(ms):
            return values.offset_text(ms)
        case _, SecretStr():
            return "***"
        case (("early" | "every" | "scrub"), None):
            return "off"
        case _, tuple(names) if key in _NAMES:
            return list(names)
        case _, tuple():
            return [values.duration_text(lag) for lag in value]
        case (
            (
                "page_size"
                | "workers"
                | "allow_plain_http"
                | "publish"
                | "looks"
                | "require_case"
                | "partial"
                | "deletion"
            ),
            _,
        ):
            return value
        case _, int(ms):
            return values.duration_text(ms)
        case _, values.Rate() | Path():
            return str(value)
        case _:
            return value


def example() -> str:
    """What `archiver init` writes. It lies beside the package in the tree, and inside it in a wheel."""
    here = Path(__file__).parent.parent
    inside, beside = here / "config.example.toml", here.parent / "config.example.toml"
    return (inside if inside.exists() else beside).read_text(encoding="utf-8")
