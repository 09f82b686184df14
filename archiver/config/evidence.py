"""The settings of the evidence: the ledger's name and key, and the sinks that its checkpoints are anchored in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, PlainValidator, SecretStr, ValidationInfo, field_validator

from archiver.config import values
from archiver.config.section import Section, SomeTime, TimeOrOff
from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS


class FileSink(Section):
    """A file to which notes are appended, on a mount that another host serves."""

    readable: ClassVar[bool] = True
    sink: Literal["file"]
    path: Path
    every_ms: SomeTime = MINUTE_MS

    @property
    def place(self) -> str:
        return str(self.path)


class S3Sink(Section):
    """A bucket in which every note is an object; with object lock, nobody replaces or deletes one."""

    readable: ClassVar[bool] = True
    sink: Literal["s3"]
    url: Annotated[str, AfterValidator(values.bucket_url)]
    endpoint: Annotated[str | None, AfterValidator(lambda value: value and values.base_url(value))] = None
    every_ms: SomeTime = MINUTE_MS

    @property
    def place(self) -> str:
        return self.url.removeprefix("s3://")


def signature_for(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    """A secret that signs messages, where the robots of that form check it. ValueError where they do not."""
    if value is not None and info.data.get("form") not in ("dingtalk", "feishu"):
        raise ValueError('does not apply to this form; only "dingtalk" and "feishu" check signatures')
    return value


class WebhookSink(Section):
    """A chat that others hold. Its address is a secret: anybody who knows it can post there."""

    readable: ClassVar[bool] = False
    sink: Literal["webhook"]
    form: Literal["json", "dingtalk", "wecom", "feishu"] = "json"
    webhook: Annotated[SecretStr | None, PlainValidator(values.secret_url)] = None
    """None where this account may not read it; see `offline` of `load`."""
    sign_secret: SecretStr | None = None
    every_ms: SomeTime = HOUR_MS

    @property
    def place(self) -> str:
        return self.form

    @field_validator("sign_secret")
    @classmethod
    def _only_where_it_is_checked(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        return signature_for(value, info)


class TimestampSink(Section):
    """A time-stamping authority: it learns the hash of a note, and answers with a token that bounds its time."""

    readable: ClassVar[bool] = False
    sink: Literal["rfc3161"]
    url: Annotated[str, AfterValidator(values.authority_url)]
    root_file: Annotated[Path, PlainValidator(values.ca_file)]
    every_ms: SomeTime = DAY_MS

    @property
    def place(self) -> str:
        return self.url.partition("://")[2]


Sink = FileSink | S3Sink | WebhookSink | TimestampSink
KINDS: dict[str, type[FileSink | S3Sink | WebhookSink | TimestampSink]] = {
    "file": FileSink,
    "s3": S3Sink,
    "webhook": WebhookSink,
    "rfc3161": TimestampSink,
}


class Evidence(Section):
    """`publish`: whether this host signs checkpoints. `state_file`: the last note that it knows of."""

    name: Annotated[str, AfterValidator(values.ledger_name)]
    key_file: Path
    publish: bool = True
    checkpoint_ms: SomeTime = MINUTE_MS
    scrub_ms: TimeOrOff = 30 * DAY_MS
    state_file: Path
    anchors: tuple[Sink, ...] = ()

    @property
    def sinks(self) -> dict[str, Sink]:
        """The sinks by the names under which the database, the metrics and the alerts know them."""
        named: dict[str, Sink] = {}
        for anchor in self.anchors:
            name = first = f"{anchor.sink}:{anchor.place}"
            number = 1
            while name in named:
                number += 1
                name = f"{first}#{number}"
            named[name] = anchor
        return named


def default_state(environ: Mapping[str, str], name: str = "evidence.state") -> Path | None:
    """Where a file of state is kept: in the state directory that systemd gave, or that of this account."""
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given) / name
    if home := environ.get("XDG_STATE_HOME"):
        return Path(home) / "archiver" / name
    if home := environ.get("HOME"):
        return Path(home) / ".local/state/archiver" / name
    return None


def shortcomings(evidence: Evidence, database_url: str) -> Iterator[str]:
    """Which attacks nobody would notice with these sinks, and what would be lost together with the database."""
    folder = _folder(database_url)
    if not evidence.anchors:
        yield (
            "evidence: no [[evidence.anchors]]; nobody would notice if the latest entries were cut off, the archive set"
            " back to an older state, or all of it written anew with the key. Anchor where others hold the copies"
        )
    elif not any(_is_held_by_others(anchor, folder) for anchor in evidence.anchors):
        yield (
            "evidence.anchors: all sinks are files on this machine's own disks; root here could cut off the latest"
            " entries, set the archive back to an older state, or write all of it anew, and change the files as well."
            " Use a mount of another host, or s3, webhook or rfc3161"
        )
    for key in ("key_file", "state_file"):
        path = getattr(evidence, key)
        if folder is not None and path.parent.resolve() == folder:
            yield (
                f"evidence.{key}: {path} lies in the database's folder; a copy of that folder takes it along."
                f" {'Then every clone can sign' if key == 'key_file' else 'Then a restored archive does not notice it'}"
            )


def _folder(database_url: str) -> Path | None:
    """The folder of an SQLite archive."""
    match = re.fullmatch(r"sqlite:///(.+)", database_url)
    return Path(match[1]).parent.resolve() if match else None


def _is_held_by_others(sink: Sink, folder: Path | None) -> bool:
    """Whether somebody else can hold the copies. Who may write on a mount is not to be seen from here."""
    if not isinstance(sink, FileSink):
        return True
    ours = {_device(Path("/")), _device(Path("/var")), _device(folder or Path("/tmp"))}  # noqa: S108 - only its device is asked for
    return _device(sink.path.parent) not in ours


def _device(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None
