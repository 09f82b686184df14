"""Connections to public addresses only: for the few files whose address a stranger wrote.

A name is resolved once, and the connection goes to the address that was looked at: a name that answers differently
the second time (rebinding) gains nothing. What the socket is connected to is looked at again before a byte is sent.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

from urllib3.exceptions import NewConnectionError

from archiver.http.wire import Adapter, Broken, Deadline, HTTPSPool, WatchedTLSConnection

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host's name, as text."""

_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        *("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3"),
        # Those that carry another address within (Teredo, 6to4), benchmarks, documentation.
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16"),
    )
]


def is_public(text: str) -> bool:
    """Whether an address is one of the open internet. `is_global` alone lets 6to4, multicast and NAT64 pass."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_6:
        return False  # IPv4 in disguise (::ffff:0:0/96, ::/96, 64:ff9b::/96), link-local, unique local, with a zone
    barred = any(address in network for network in _NOT_PUBLIC if network.version == address.version)
    return address.is_global and not address.is_multicast and not barred


def resolve(host: str, port: int) -> Sequence[str]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in infos))


def public_adapter(resolve: Resolve = resolve, is_public: Callable[[str], bool] = is_public) -> Adapter:
    """An adapter that connects by https to public addresses only; plain http fails. Both are arguments for tests."""

    class PublicConnection(WatchedTLSConnection):
        def _new_conn(self) -> socket.socket:
            addresses = resolve(self.host, self.port or 443)
            if not addresses or not all(map(is_public, addresses)):
                raise Broken("its address is not a public one")
            timeout = self.timeout if isinstance(self.timeout, int | float) else None
            try:
                connection = socket.create_connection((addresses[0], self.port or 443), timeout)
            except OSError as error:
                raise NewConnectionError(self, type(error).__name__) from error
            if not is_public(str(connection.getpeername()[0])):
                connection.close()
                raise Broken("its address is not a public one")
            Deadline.watch_this(connection)
            return connection

    class Pool(HTTPSPool):
        ConnectionCls = PublicConnection

    class PublicAdapter(Adapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = {"https": Pool}  # http is a KeyError, never a connection

    return PublicAdapter()
