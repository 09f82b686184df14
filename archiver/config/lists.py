"""Lists of the configuration: of names, addresses and hosts; by environment they are texts.

A ValueError says what is wrong, and how to write it.
"""

from __future__ import annotations

import ipaddress
import json
import re


def listed(value: object) -> object:
    """By environment a list is a text: JSON, or parted by commas."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else [part for part in value.split(",") if part]


def parse_names(value: object) -> tuple[str, ...]:
    """Names of groups, as another program gives them."""
    value = listed(value)
    names = [one.strip() if isinstance(one, str) else "" for one in value] if isinstance(value, list) else [""]
    if not all(name.isprintable() and name and "," not in name for name in names):
        raise ValueError(f'{value!r} is not a list of groups; write it as ["chat-officers"], or [] for none')
    return tuple(dict.fromkeys(names))


def parse_peers(value: object) -> tuple[str, ...]:
    """Addresses of machines."""
    value = listed(value)
    try:
        if isinstance(value, list) and value:
            return tuple(dict.fromkeys(str(ipaddress.ip_address(one)) for one in value))
    except ValueError:
        pass
    raise ValueError(f'{value!r} is not a list of addresses; write it as ["10.0.0.5"]')


def parse_hosts(value: object) -> tuple[str, ...]:
    value = listed(value)
    if not isinstance(value, list):
        raise ValueError(f'{value!r} is not a list of hosts; write it as ["files.example.com"], or [] for none')  # noqa: TRY004 - one kind for all
    label = "[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
    hosts = [host.strip().lower() if isinstance(host, str) else "" for host in value]
    for host, given in zip(hosts, value, strict=True):
        if not re.fullmatch(rf"{label}(\.{label})*(:[1-9][0-9]{{0,4}})?", host):
            raise ValueError(f"{given!r} is not a host; write it as files.example.com or files.example.com:8443")
    return tuple(dict.fromkeys(hosts))
