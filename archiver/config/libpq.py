"""A PostgreSQL URL as libpq reads it, in the form that SQLAlchemy reads; what neither could use is refused here.

No message repeats anything but the name of an option: what stands where it should not is often a piece of a password.
"""

from __future__ import annotations

import difflib
import re
from urllib.parse import quote, unquote

_OPTIONS = frozenset(
    re.findall(
        r"\w+",
        """
    application_name channel_binding client_encoding connect_timeout dbname fallback_application_name gssdelegation
    gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname
    load_balance_hosts max_protocol_version min_protocol_version oauth_client_id oauth_client_secret oauth_issuer
    oauth_scope options passfile password port replication require_auth requirepeer scram_client_key scram_server_key
    service servicefile ssl_max_protocol_version ssl_min_protocol_version sslcert sslcertmode sslcompression sslcrl
    sslcrldir sslkey sslkeylogfile sslmode sslnegotiation sslpassword sslrootcert sslsni target_session_attrs
    tcp_user_timeout user
    """,
    )
)
"""Those of all versions since 13; one that the libpq at hand does not know is refused by it."""
_VALUES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_WHOLE = re.compile(r"connect_timeout|tcp_user_timeout|keepalives(_\w+)?")
_ESCAPES = "write @ : / ? # of a user or password as %40 %3A %2F %3F %23, or name a file in password_file"
_WITH_LOGIN = re.compile(r"([^:/@?]*(?::[^@]*)?)@(.*)", re.DOTALL)
_PORT_ALONE = re.compile(r"[^:/@?]*:[0-9]*/[^?]*\?", re.DOTALL)


def url(rest: str) -> str:
    """What follows `://`, as SQLAlchemy's URL for psycopg. Raises ValueError with what to write."""
    split = None if _PORT_ALONE.match(rest) else _WITH_LOGIN.fullmatch(rest)
    login, place = (f"{split[1]}@", split[2]) if split else ("", rest)
    before, mark, query = place.partition("?")
    if "@" in before or ("@" in query and ":" in login):
        raise ValueError(f"has an @ too many; {_ESCAPES}")
    hosts, slash, database = before.partition("/")
    pairs = _hosts(hosts)
    options = _options(query) if mark else {}
    if len(pairs) > 1 or "%" in hosts:
        names, ports = zip(*pairs, strict=True)
        options = {"host": quote(",".join(names), safe=","), "port": ",".join(ports)} | options
        hosts = ""
    text = "&".join(f"{name}={value}" for name, value in options.items())
    path = f"{slash or ('/' if text else '')}{database}"
    return f"postgresql+psycopg://{login}{hosts.removesuffix(':')}{path}{text and '?'}{text}"


def _hosts(text: str) -> list[tuple[str, str]]:
    """Names and ports, as many of the one as of the other; what is left out is empty."""
    pairs = []
    for item in text.split(","):
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]*\]|[^:\[\]]*)(?::(.*))?", item, re.DOTALL)
        if match is None or not _is_port(match[2] or ""):
            raise ValueError(f"has a port that is not a number from 1 to 65535; {_ESCAPES}")
        pairs.append((unquote(match[1].strip("[]")), match[2] or ""))
    return pairs


def _is_port(text: str) -> bool:
    return text == "" or (re.fullmatch(r"[0-9]{1,5}", text) is not None and 0 < int(text) < 65536)


def _options(query: str) -> dict[str, str]:
    """Of one that is given twice the last counts, and it counts more than what stands before the `?`."""
    return dict(_option(*item.partition("=")) for item in query.split("&") if item)


def _option(name: str, equals: str, value: str) -> tuple[str, str]:
    if not equals or not re.fullmatch(r"[a-z_]{1,30}", name):
        raise ValueError(f"has a ? that is not followed by options, as in ?sslmode=require; {_ESCAPES}")
    if (name, value) == ("ssl", "true"):  # as JDBC writes it, and libpq reads it
        return "sslmode", "require"
    if name not in _OPTIONS:
        near = difflib.get_close_matches(name, _OPTIONS, n=1, cutoff=0.75)
        remedy = f"did you mean {near[0]}?" if near else "remove it; a pooler is noticed without"
        raise ValueError(f"{name} is not an option of libpq; {remedy}")
    plain = unquote(value)
    if name in _VALUES and plain not in _VALUES[name]:
        raise ValueError(f"{name} is one of {', '.join(_VALUES[name])}")
    if name == "port" and not all(map(_is_port, plain.split(","))):
        raise ValueError("port is not a number from 1 to 65535, or a list of such, one per host")
    if _WHOLE.fullmatch(name) and not re.fullmatch(r"-?[0-9]{1,9}", plain):
        raise ValueError(f"{name} is not a whole number")
    return name, value
