"""Hostile addresses: not one byte to a host that is not configured, whatever a message or a redirect says.

Real sockets: the provider's stand-in and traps listen on loopback; and every name that is looked up is seen.
"""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest

from archiver.http import public_adapter
from archiver.http.public import is_public
from archiver.model import Fetched, Pointer
from archiver.sources.easemob.chatfiles import Chatfiles, find_chatfile, find_link, ours
from tests.fixtures.blobs import Trap
from tests.fixtures.http import Scripted

UUID = "9060c6fc-291d-11e5-994b-e173aaa37ae6"
FILE = f"/org/app/chatfiles/{UUID}"
OWN = "a1.easemob.com"


class Token:
    def borrow(self) -> str:
        return "secret-token"

    def give_back(self, text: str) -> None: ...


def chatfiles(server: Scripted, **options: Any) -> Chatfiles:
    """Messages name the service by `OWN`; where it is really asked stands in the configuration."""
    known = ours("https://im.example.com", ["/org/app"], [OWN])
    return Chatfiles(f"{server.url()}/org/app", known, Token(), threading.Event(), **options)  # type: ignore[arg-type]


def fetch(files: Chatfiles, url: str, secret: str | None = "share-me") -> Fetched:
    return files.fetch(Pointer(url, secret), io.BytesIO(), lambda _: None)


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every name that anybody asks the resolver for; those of other machines are unknown to it, on every network."""
    names: list[str] = []
    resolve = socket.getaddrinfo

    def spy(host: Any, *rest: Any, **more: Any) -> Any:
        names.append(host)
        if str(host).endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", spy)
    return names


def hosts(traps: Sequence[Trap]) -> list[str]:
    """Ways to write the address of a trap, or to hide it behind the provider's name."""
    one, other, second, third, *six = traps
    spelled = [
        *(f"127.0.0.1:{one.port}", f"localhost:{other.port}", f"127.0.0.2:{second.port}", f"127.1.2.3:{third.port}"),
        *(f"2130706433:{one.port}", f"0x7f000001:{one.port}", f"0177.0.0.1:{one.port}", f"127.1:{one.port}"),
        *(f"0x7f.1:{one.port}", f"017700000001:{one.port}", f"127.000.000.001:{one.port}", f"0:{one.port}"),
        *(f"0.0.0.0:{one.port}", f"127.0.0.1.:{one.port}", f"①②⑦.⓪.⓪.①:{one.port}", f"LOCALHOST:{other.port}"),
        *(f"127。0。0。1:{one.port}", f"127%2e0.0.1:{one.port}", f"%31%32%37.0.0.1:{one.port}"),
        *(f"[::1]:{trap.port}" for trap in six),
        *(f"[::ffff:127.0.0.1]:{one.port}", f"[::ffff:7f00:1]:{one.port}", f"[0:0:0:0:0:ffff:7f00:0001]:{one.port}"),
        *(f"[64:ff9b::7f00:1]:{one.port}", f"[::127.0.0.1]:{one.port}", f"[fe80::1%25lo]:{one.port}"),
        *("169.254.169.254", "100.100.100.200", "[fd00:ec2::254]", "metadata.google.internal", "10.0.0.1"),
        *("192.168.0.1", "172.16.0.1", "evil.example", f"{OWN}.evil.example", f"evil-{OWN}", "xn--80ak6aa92e.example"),
    ]
    hidden = [
        *(f"127.0.0.1:{one.port}\\@{OWN}", f"{OWN}@127.0.0.1:{one.port}", f"{OWN}:443@127.0.0.1:{one.port}"),
        *(f"{OWN}%00.127.0.0.1:{one.port}", f"127.0.0.1:{one.port}#@{OWN}", f"127.0.0.1:{one.port}?@{OWN}"),
        *(f"127.0.0.1:{one.port}%23@{OWN}", f"{OWN}\\.127.0.0.1:{one.port}", f"127.0.0.1:{one.port};@{OWN}"),
        *(f"{OWN}%40127.0.0.1:{one.port}", f"user:password@{OWN}", f"{OWN}\t@127.0.0.1:{one.port}"),
        *(f"{OWN}\r\nHost: 127.0.0.1:{one.port}", f"127.0.0.1:{one.port}\x00.{OWN}", f"{OWN}:{one.port}@127.1.2.3"),
        *(f"{OWN} 127.0.0.1:{one.port}", f"[{OWN}]:{one.port}", f"127.0.0.1:{one.port}／{OWN}", f"{OWN}\u2025evil"),
    ]
    return spelled + hidden


SCHEMES = ("http://", "https://", "HTTP://", "//", "http:/", "http:\\\\")
ODD = (
    *(
        "",
        " ",
        "\x00",
        "chatfiles",
        FILE,
        f"../{UUID}",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "about:blank",
    ),
    *(
        "gopher://127.0.0.1:{port}/_GET%20/",
        "ftp://127.0.0.1:{port}/x",
        "dict://127.0.0.1:{port}/",
        "ldap://127.0.0.1:{port}/",
    ),
    *("jar:http://127.0.0.1:{port}!/x", "data:text/plain,hello", "javascript:alert(1)", "unix:/var/run/docker.sock"),
    *("http+unix://%2Fvar%2Frun%2Fdocker.sock/x", "\\\\127.0.0.1\\share\\x", "netdoc:///etc/passwd", "http://"),
    *("http://{port}", "http:127.0.0.1:{port}/x", "https:127.0.0.1:{port}/x", "h\tttp://127.0.0.1:{port}/x"),
    *(
        "http://127.0.0.1:{port}" + "/a" * 5000,
        "http://127.0.0.1:{port}/?" + "x" * 9000,
        "http://[::1",
        "http://:{port}/",
    ),
)
PATHS = (
    *(
        "/org/app/chatfiles/..",
        "/org/app/chatfiles/../../token",
        f"/org/app/chatfiles/{UUID}/..",
        f"/org/app/chatfiles/{UUID}/x",
    ),
    *(
        f"/org/app/chatfiles/{UUID}%2f..",
        f"/org/app/chatfiles/{UUID}?em-redirect=true#x",
        f"/org/app/chatfiles/{UUID}?em-redirect=true\\",
        f"/org/app/chatfiles/{UUID}?em-redirect=true&x=\r\nHost: evil.example",
        f"/org/app/chatfiles/{UUID}/?em-redirect=true",
        f"/org/app/chatfiles?em-redirect=true&x=/{UUID}",
        f"/org/app/token?x=/org/app/chatfiles/{UUID}",
        f"/org/app/chatfiles/{UUID}?" + "x" * 3000,
        f"/org/app/chatfiles/{UUID}#x",
        f"//org/app/chatfiles/{UUID}",
    ),
    *(
        f"/org/app/../app/chatfiles/{UUID}",
        f"/other/app/chatfiles/{UUID}",
        f"/org/other/chatfiles/{UUID}",
        f"/chatfiles/{UUID}",
    ),
    *(
        f"/org/app/chatfiles/{UUID}1",
        f"/org/app/chatfiles/{UUID[:-1]}",
        f"/org/app/chatfiles/{UUID}\n",
        f"/org/app/chatfiles/\u0661{UUID[1:]}",
    ),
    f"/org/app/CHATFILES/{UUID}",
    *(
        f"/org/app/chatfiles/{{{UUID}}}",
        f"/org%2fapp/chatfiles/{UUID}",
        "/org/app/messages",
    ),
)


def corpus(traps: Sequence[Trap]) -> list[str]:
    port = traps[0].port
    urls = [scheme + host + FILE for scheme, host in product(SCHEMES, hosts(traps))]
    urls += [text.replace("{port}", str(port)) for text in ODD]
    urls += [f"https://{OWN}{path}" for path in PATHS]
    return list(dict.fromkeys(urls))


@pytest.fixture
def provider(server: Scripted) -> Scripted:
    server.script = [server.answer(404, b'{"error":"entity_not_found"}')]
    return server


def test_no_hostile_address_of_a_message_is_connected_to(
    provider: Scripted, traps: list[Trap], looked_up: list[str]
) -> None:
    urls = corpus(traps)
    assert len(urls) >= 300
    files = chatfiles(provider)
    for url in urls:
        found = fetch(files, url)
        assert found.state == "foreign", (url, found)
        assert "share-me" not in (found.reason or "")
    assert [trap.caught for trap in traps] == [0] * len(traps)
    assert provider.connections == 0
    assert looked_up == []


@pytest.mark.parametrize("allowed", ["evil.example", "127.0.0.1", "localhost"])
def test_an_allowed_host_opens_the_way_to_no_other(
    provider: Scripted, traps: list[Trap], looked_up: list[str], allowed: str
) -> None:
    """Loopback is never public, even where somebody allows it."""
    ports = [f"{allowed}:{trap.port}" for trap in traps]
    files = chatfiles(provider, foreign=frozenset([allowed, *ports]))
    looked: set[str] = set()
    for url in corpus(traps):
        assert fetch(files, url).state in ("foreign", "failed"), url
        looked |= set(looked_up)
    assert [trap.caught for trap in traps] == [0] * len(traps)
    assert provider.connections == 0
    assert looked <= {allowed}


def test_the_provider_s_own_addresses_are_asked_on_the_configured_host_alone(
    provider: Scripted, traps: list[Trap]
) -> None:
    good = [
        *(
            f"https://{OWN}{FILE}",
            f"http://{OWN}{FILE}",
            f"https://{OWN}:443{FILE}",
            f"http://{OWN}:{traps[0].port}{FILE}",
        ),
        *(f"https://A1.EASEMOB.COM/ORG/App/chatfiles/{UUID}", f"https://{OWN}/org/app/chatfiles/{UUID.upper()}"),
        *(f"https://{OWN}{FILE}?share-secret=Abc_-1", f"https://im.example.com{FILE}"),
    ]
    for url in good:
        assert fetch(chatfiles(provider), url).state == "gone", url
    assert provider.lines == [f"GET {FILE} HTTP/1.1"] * len(good)
    for asked in provider.asked:
        assert b"\r\nshare-secret: share-me\r\n" in asked + b"\r\n"
        assert b"\r\nAuthorization: Bearer secret-token\r\n" in asked + b"\r\n"
    assert sum(trap.caught for trap in traps) == 0


QUERIES = (
    *("em-redirect=true&share-secret=Abc_-1", "share-secret=Abc_-1&em-redirect=true", "share-secret=Abc_-1&size=large"),
    *("size=small&share-secret=Abc_-1", "vframe=true&share-secret=Abc_-1", "share-secret=Abc_-1&vframe=true&x=1/2:3"),
    *("em-redirect=true&share-secret=Abc_-1&share-secret=other", "share-secret=Abc%5F-1"),
    *("em-redirect=true?share-secret=Abc_-1", "em-redirect=true&amp;share-secret=Abc_-1", "share-secret=Abc_-1?x"),
)
BARE = ("", "em-redirect=true", "size=large", "size=small", "vframe=true", "a=b", "share-secret=", "a-share-secret=x")


@pytest.mark.parametrize("host", [OWN, "a5-v2.easemob.com", "c1.chat.realtimemesh.com", "a41.chat.agora.io"])
def test_queries_as_sdks_write_them_are_dropped_and_the_secret_is_a_header(provider: Scripted, host: str) -> None:
    cloud = ours("https://a1.easemob.com", ["/org/app"])
    files = Chatfiles(f"{provider.url()}/org/app", cloud, Token(), threading.Event())  # type: ignore[arg-type]
    for query in (*QUERIES, *BARE, "share-secret=a%0d%0aX-Evil:1"):
        assert fetch(files, f"http://{host}{FILE}?{query}", None).state == "gone", query
        told = [line for line in provider.asked[-1].split(b"\r\n") if line.startswith(b"share-secret")]
        assert told == ([b"share-secret: Abc_-1"] if query in QUERIES else []), query
    assert set(provider.lines) == {f"GET {FILE} HTTP/1.1"}
    assert not any(b"Evil" in asked for asked in provider.asked)


@pytest.mark.parametrize("secret", ["a\r\nX-Evil: 1", "ä", "a b", "x" * 600, "\x00", ""])
def test_a_hostile_secret_makes_no_header(provider: Scripted, secret: str) -> None:
    assert fetch(chatfiles(provider), f"https://{OWN}{FILE}", secret).state == "gone"
    assert b"share-secret" not in provider.asked[0]
    assert b"Evil" not in provider.asked[0]


def test_the_secret_of_an_address_is_a_header_too(provider: Scripted) -> None:
    fetch(chatfiles(provider), f"https://{OWN}{FILE}?share-secret=Abc_-1", None)
    assert b"share-secret: Abc_-1" in provider.asked[0]
    assert provider.lines == [f"GET {FILE} HTTP/1.1"]


def redirects(traps: Sequence[Trap]) -> list[str]:
    return [*corpus(traps), *(f"/{host}/x" for host in hosts(traps)), *(f"\\\\{host}/x" for host in hosts(traps))]


def plain(location: str) -> bool:
    """What fits into a header at all."""
    return location.isascii() and location.isprintable() and len(location) < 8000


@pytest.mark.full
def test_no_hostile_redirect_is_followed(server: Scripted, traps: list[Trap], looked_up: list[str]) -> None:
    tried = 0
    files = chatfiles(server)
    for location in filter(plain, redirects(traps)):
        if location.startswith("/") and not location.startswith("//"):
            continue  # on the service itself, and without credentials: see below
        tried += 1
        server.script = [server.answer(302, b"", Location=location), server.answer(404)]
        found = fetch(files, f"https://{OWN}{FILE}")
        own_again = found.state in ("failed", "gone")
        assert found.state == "refused" or own_again, (location, found)
    assert tried >= 250
    assert [trap.caught for trap in traps] == [0] * len(traps)
    assert set(looked_up) <= {"127.0.0.1"}
    for asked in server.asked:
        if FILE.encode() + b" " not in asked.split(b"\r\n")[0]:
            assert b"secret" not in asked, asked


def test_a_redirect_to_a_configured_host_gets_no_credentials(server: Scripted) -> None:
    storage = Scripted()
    try:
        storage.script = [storage.answer(body=b"the file", Content_Type="image/png")]
        where = f"{storage.url()}/bucket/x?Signature=abc"
        for status in (301, 302, 303, 307, 308):
            server.script = [server.answer(status, b"", Location=where)]
            files = chatfiles(server, redirects=frozenset([f"127.0.0.1:{storage.port}"]))
            into = io.BytesIO()
            found = files.fetch(Pointer(f"https://{OWN}{FILE}", "share-me"), into, lambda _: None)
            assert (found.state, found.size, into.getvalue()) == ("stored", 8, b"the file")
        assert len(storage.asked) == 5
        for asked in storage.asked:
            names = {line.split(b":")[0].lower() for line in asked.split(b"\r\n")[1:] if line}
            assert names == {b"host", b"accept", b"accept-encoding", b"user-agent"}
    finally:
        storage.close()


def test_redirects_on_the_service_itself_get_no_credentials_and_end(server: Scripted) -> None:
    server.script = [server.answer(302, b"", Location="/elsewhere")]
    found = fetch(chatfiles(server), f"https://{OWN}{FILE}")
    assert found.state == "refused"
    assert "redirected more than 5 times" in str(found.reason)
    assert len(server.asked) == 6
    assert all(b"secret" not in asked for asked in server.asked[1:])


def test_http_to_a_redirect_host_elsewhere_is_refused(server: Scripted, looked_up: list[str]) -> None:
    server.script = [server.answer(302, b"", Location="http://files.example/x")]
    files = chatfiles(server, redirects=frozenset(["files.example"]))
    assert fetch(files, f"https://{OWN}{FILE}").state == "refused"
    assert "files.example" not in looked_up


# Rebinding: names that answer with something else than they should.

NOT_PUBLIC = (
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.1.2.3", "172.31.255.255", "192.168.1.1", "169.254.169.254"),
    *(
        "100.100.100.200",
        "100.64.0.1",
        "192.0.0.192",
        "198.18.0.1",
        "192.88.99.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
    ),
    *("255.255.255.255", "192.0.2.1", "198.51.100.7", "203.0.113.9", "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8"),
    *(
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "fe80::1",
        "fe80::1%lo",
        "fc00::1",
        "fd00:ec2::254",
    ),
    *(
        "2001::1",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "3fff::1",
        "5f00::1",
        "ff02::1",
        "100::1",
    ),
    *("", "localhost", "127.1", "0x7f000001", "2130706433", "8.8.8.8 ", "1.2.3", "::ffff:0:1.2.3.4"),
)
PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "47.93.1.2",
    "203.0.112.255",
    "100.63.255.255",
    "100.128.0.1",
    "2606:4700::1111",
    "2400:3200::1",
)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


def test_a_name_that_resolves_to_what_is_not_public_is_not_connected_to(provider: Scripted, traps: list[Trap]) -> None:
    answers: list[list[str]] = [[address] for address in NOT_PUBLIC]
    answers += [[public, bad] for public in PUBLIC[:2] for bad in NOT_PUBLIC[:12]]
    answers += [[bad, public] for public in PUBLIC[:2] for bad in NOT_PUBLIC[:12]]
    answers += [[]]
    for answer in answers:
        asked: list[str] = []

        def resolve(host: str, port: int, answer: list[str] = answer, asked: list[str] = asked) -> list[str]:
            asked.append(host)
            return answer

        for trap in traps:
            host = f"rebind.example:{trap.port}"
            files = chatfiles(provider, foreign=frozenset([host]), public=lambda: public_adapter(resolve))
            found = fetch(files, f"https://{host}/a.jpg")
            assert (found.state, found.reason) == ("failed", "rebind.example: its address is not a public one")
        assert asked == ["rebind.example"] * len(traps)
    assert [trap.caught for trap in traps] == [0] * len(traps)


def test_the_name_is_resolved_once_and_the_socket_is_looked_at(provider: Scripted, traps: list[Trap]) -> None:
    """A checker that the first look deceives still sees where the socket went, before a byte is sent."""
    asked: list[str] = []
    looks = iter([True, False])
    one = traps[0]

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    host = f"rebind.example:{one.port}"
    public = lambda: public_adapter(resolve, lambda _: next(looks))  # noqa: E731
    found = fetch(chatfiles(provider, foreign=frozenset([host]), public=public), f"https://{host}/a.jpg")
    assert found.reason == "rebind.example: its address is not a public one"
    assert asked == ["rebind.example"]


def test_plain_http_is_never_spoken_to_a_foreign_host(provider: Scripted, traps: list[Trap]) -> None:
    host = f"cdn.example:{traps[0].port}"
    files = chatfiles(
        provider, foreign=frozenset([host]), public=lambda: public_adapter(lambda *_: ["127.0.0.1"], lambda _: True)
    )
    assert fetch(files, f"http://{host}/a.jpg").state == "foreign"
    assert traps[0].caught == 0


def test_what_is_ours_is_decided_by_host_and_prefix() -> None:
    cloud = ours("https://a1-vip5.easemob.com", ["/org/app"])
    assert find_chatfile(Pointer(f"https://a1.easemob.com{FILE}"), cloud)
    assert not find_chatfile(Pointer(f"https://a1.easemob.com.evil.example{FILE}"), cloud)
    assert not find_chatfile(Pointer(f"https://easemob.com{FILE}"), cloud)
    private = ours("https://im.example.com", ["/org/app"], ["chat.example.com"])
    assert find_chatfile(Pointer(f"https://chat.example.com{FILE}"), private)
    assert not find_chatfile(Pointer(f"https://evil.example.com{FILE}"), private)
    found = find_chatfile(Pointer(f"https://im.example.com{FILE}", "s"), private)
    assert found is not None
    assert found == (UUID, "s")


def test_a_foreign_address_in_other_letters_is_encoded() -> None:
    link = find_link("https://cdn.example.com/图片.png")
    assert link is not None
    assert link.url == "https://cdn.example.com/%E5%9B%BE%E7%89%87.png"
    assert find_link("https://例子.example/a") is None
    assert find_link("https://\ud83d.example/a") is None
