"""Texts of the configuration as values; a ValueError says what is wrong, and how to write it."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from archiver.config import libpq
from archiver.config.lists import listed
from archiver.zones import parse_zone

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PERIODS = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CENTURY_MS, _YEAR_10000_MS, _SECONDS_SIZED = 36_525 * 86_400_000, 253_402_300_800_000, 100_000_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests in any `period_ms`."""

    count: int
    period_ms: int

    def __str__(self) -> str:
        return f"{self.count}/{next(unit for unit, ms in reversed(_PERIODS.items()) if ms == self.period_ms)}"


def parse_time(value: object) -> int:
    """ISO 8601 with a zone, or an integer, as milliseconds since 1970; ValueError says what is wrong."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = int(text) if re.fullmatch(r"-?[0-9]{1,19}", text) else datetime.fromisoformat(text.upper())
        except ValueError:
            raise ValueError(f"{text!r} is not a time; write it as 2026-11-01T00:00:00Z") from None
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = (value - _EPOCH) // timedelta(milliseconds=1)
    elif isinstance(value, date):
        raise ValueError(f"{value} has no zone; write it as 2026-11-01T00:00:00Z or 2026-11-01T08:00:00+08:00")
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not a time; write it as 2026-11-01T00:00:00Z")  # noqa: TRY004 - one kind for all
    if 0 < value < _SECONDS_SIZED:
        raise ValueError(f"{value} looks like seconds, but integers count milliseconds; did you mean {value}000?")
    if not 0 <= value < _YEAR_10000_MS:
        raise ValueError(f"{value} ms lies outside the years 1970 to 9999")
    return value


def zone_name(value: str) -> str:
    """The name of a time zone, or its distance from UTC; ValueError says what is meant."""
    parse_zone(value)
    return value


def parse_duration(value: object) -> int:
    """ "500ms", "90s", "2m", "1h" or "3d", in milliseconds; ValueError says what is wrong."""
    match = re.fullmatch(r"([0-9]{1,15})\s*(ms|s|m|h|d)", value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError(f'{value!r} is not a duration; write a number with its unit, as "90s", "2m", "1h" or "3d"')
    amount = int(match[1]) * _UNITS[match[2]]
    if amount > _CENTURY_MS:
        raise ValueError(f"{value!r} is more than a hundred years")
    return amount


def duration_text(ms: int) -> str:
    """The shortest text that `parse_duration` reads as `ms`."""
    unit = next(unit for unit in reversed(_UNITS) if ms % _UNITS[unit] == 0) if ms else "s"
    return f"{ms // _UNITS[unit]}{unit}"


def time_text(ms: int) -> str:
    """ISO 8601 in UTC, with as many decimals as needed: the text that `parse_time` reads as `ms`."""
    instant = _EPOCH + timedelta(milliseconds=ms)
    return instant.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def offset_text(ms: int) -> str:
    return f"{'-' if ms < 0 else '+'}{abs(ms) // 3_600_000:02}:{abs(ms) // 60_000 % 60:02}"


def some_time(value: object) -> int:
    if amount := parse_duration(value):
        return amount
    raise ValueError("must be longer than zero")


def parse_rate(value: object) -> Rate:
    match = re.fullmatch(r"([1-9][0-9]{0,5})\s*/\s*(s|min|m|h)", value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError(f'{value!r} is not a rate; write it as "1/s", "10/min" or "100/h"')
    return Rate(int(match[1]), _PERIODS[match[2]])


def time_or_none(value: object) -> int | None:
    """A duration; None where it is absent or "off"."""
    return None if value is None or value == "off" else some_time(value)


def parse_lags(value: object) -> tuple[int, ...]:
    value = listed(value)
    if isinstance(value, list):
        return tuple(sorted({some_time(lag) for lag in value}))
    raise ValueError(f'{value!r} is not a list of durations; write it as ["1h", "24h"], or [] for none')


def header_name(value: str) -> str:
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", value):
        return value
    raise ValueError(f"{value!r} is not the name of a header; write it as X-Forwarded-User")


def site_url(value: str) -> str:
    """Scheme and host of a site, without a path; encrypted, unless it is this machine."""
    match = re.fullmatch(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?/?", value.lower())
    if match is None:
        raise ValueError(f"{value!r} is no address of a site; write it as https://review.example.com")
    if match[1] == "http" and not is_loopback(match[2].strip("[]")):
        raise ValueError(f"{value!r} would show chats unencrypted; write https://")
    return value.lower().rstrip("/")


def parse_offset(value: object) -> int:
    match = re.fullmatch(r"([+-])([01][0-9]):([0-5][0-9])", value) if isinstance(value, str) else None
    if not match:
        raise ValueError(f'{value!r} is not an offset from UTC; write it as "+08:00"')
    return (int(match[2]) * 60 + int(match[3])) * (60_000 if match[1] == "+" else -60_000)


def whole(low: int, high: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) else value
        if isinstance(number, int) and not isinstance(number, bool) and low <= number <= high:
            return number
        raise ValueError(f"{value!r} is not a whole number from {low} to {high}")

    return parse


def key_part(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", value):
        return value
    raise ValueError(f"{value!r} is not a name as the console shows it: letters, digits, '-', '_' and '.'")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, whatever its network."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _may_be_private(host: str) -> bool:
    """Whether a host may lie in a network of one's own: an address of one, or a name, which is looked up later."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True
    private = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
    networks = (ipaddress.ip_network(text) for text in private)
    return any(address in network for network in networks if network.version == address.version)


def base_url(value: str, *, private_http: bool = False) -> str:
    """`private_http`: an unencrypted address in a network of one's own is allowed, at the operator's word."""
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a URL; write it as https://a1.easemob.com") from None
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise ValueError("must be host and port alone, without user, query or fragment; write https://a1.easemob.com")
    if not re.fullmatch(r"[A-Za-z]+://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~-]+)*/?", value) or not host:
        raise ValueError("is not a URL; write it as https://a1.easemob.com")
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return value.rstrip("/")
    if parts.scheme == "http" and private_http and _may_be_private(host):
        return value.rstrip("/")
    if private_http:
        raise ValueError(f"{value!r} is not a private address, and plain http goes nowhere else; write https://")
    instead = ", or allow_plain_http = true in a network of your own" if _may_be_private(host) else ""
    raise ValueError(f"{value!r} would send the credentials unencrypted; write https://{parts.netloc}{instead}")


def ca_file(value: object) -> Path | None:
    """A file of certificates in PEM that can be used; a `Path` has passed this already, and a bundle takes 0.1 s."""
    if value is None or isinstance(value, Path):
        return value
    path = Path(str(value))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise ValueError(f"{path} holds no certificates in PEM (-----BEGIN CERTIFICATE-----)") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return path


def proxy(value: object) -> SecretStr | None:
    """The address of an HTTP proxy; a user and password may stand in it, so no message repeats it."""
    if value is None:
        return None
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    form = r"http://([^\s:/?#@]+(:[^\s/?#@]*)?@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})/?"
    match = re.fullmatch(form, text) if isinstance(text, str) and text.isascii() else None
    if match is None or not 0 < int(match[4]) < 65536:
        raise ValueError(
            "is not the address of a proxy; write http://proxy.example.com:3128, or with user:password@ before the"
            " name, in which @ : / ? # % are %40 %3A %2F %3F %23 %25"
        )
    return SecretStr(match[0].rstrip("/"))


def path_prefix(value: str) -> str:
    bare = re.sub(r"\{(org|app|app_id)\}", "x", value)
    if re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", bare):
        return value
    raise ValueError(f'{value!r} is not a path of {{org}}, {{app}} and {{app_id}}; write it as "/{{org}}/{{app}}"')


def database_url(value: object) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or not text.isprintable() or "://" not in text:
        raise ValueError("is not a database URL; write sqlite:///archive.db or postgresql://user@host/database")
    if text != text.strip():
        raise ValueError("has blanks beside it; write sqlite:///archive.db or postgresql://user@host/database")
    scheme, rest = text.split("://", 1)
    if scheme == "sqlite":
        if "?" in rest:
            raise ValueError("has a ?, which can be no part of the path, and SQLite takes no options: leave it out")
        if not rest.startswith("/") or rest in ("/", "/:memory:"):
            raise ValueError("names no file; write sqlite:///archive.db, or sqlite:////var/lib/archiver/archive.db")
        return SecretStr(text)
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return SecretStr(libpq.url(rest))
    raise ValueError(f"{scheme!r} is not supported; write sqlite:///archive.db or postgresql://user@host/database")


def store_url(value: str) -> str:
    if re.fullmatch(r"file:///[^?#\x00-\x1f]*|s3://[a-z0-9][a-z0-9.-]{1,62}(/[^?#\x00-\x1f]*)?", value):
        return value
    if re.match(r"file:///|s3://", value) and re.search(r"[?#]", value):
        raise ValueError(f"{value!r} is not a store; in the path of one write ? as %3F, and # as %23")
    raise ValueError(f"{value!r} is not a store; write file:///var/lib/archiver/attachments or s3://bucket/prefix")


def bucket_url(value: str) -> str:
    if re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,62}(/[^?#\x00-\x1f]*)?", value):
        return value.rstrip("/")
    raise ValueError(f"{value!r} is not a bucket; write it as s3://bucket/prefix")


def ledger_name(value: str) -> str:
    """What stands on the first line of every checkpoint; # is for its epochs."""
    if re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", value) and len(value) <= 200:
        return value
    raise ValueError(f"{value!r} is not a name for a ledger; write it as archive.example.com/acme")


def authority_url(value: str) -> str:
    """Of a time-stamping authority. Plain http is enough: only a hash goes there, and the answer is signed."""
    try:
        parts = urlsplit(value if re.fullmatch(r"[!-~]+", value) else "")
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or "#" in value:
        raise ValueError("is not a URL; write it as http://tsa.example.com/tsr")
    if "@" in parts.netloc:
        raise ValueError("has a user or a password in it; write the address alone, as credentials never go there")
    return value


def address(value: str) -> str:
    """ "host:port" to listen on; an IPv6 address in brackets."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):([0-9]{1,5})", value)
    if match and match[1] and int(match[2]) < 65536:
        return value
    raise ValueError(f'{value!r} is not an address to listen on; write it as "127.0.0.1:9473"')


def alias(value: str) -> str:
    """A word that stands for an app in a URL and among records."""
    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value):
        return value
    raise ValueError(f"{value!r} is not an alias; write lower-case letters, digits and '-', as support")


def page_url(value: str) -> str:
    """Of a page that people open."""
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
        raise ValueError("is not the address of a page; write it as https://wiki.example.com/archiver")
    return value


def secret_url(value: object) -> SecretStr | None:
    """An address whose path or query is a credential; no message repeats it."""
    if value is None:
        return None
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    try:
        parts = urlsplit(text if isinstance(text, str) and re.fullmatch(r"[!-~]+", text) else "")
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or "@" in parts.netloc or parts.scheme not in ("http", "https"):
        raise ValueError("is not a URL; write it as https://hooks.example.com/path, without user or password")
    if parts.scheme != "https" and not is_loopback(host):
        raise ValueError("would be sent unencrypted; write https://")
    return SecretStr(str(text))
