"""Attachments: `GET chatfiles/{uuid}`, the uuid taken from a message's url, the rest from the configuration.

The url of a message is a user's text and is never fetched as it stands: `http://127.0.0.1\\@a1.easemob.com/` parses as
the provider's and connects to loopback. What is not the provider's is `foreign`, and is fetched only where its host
was configured: by https, from public addresses. Redirects are followed by hand, without token or secret, and to
configured hosts only. The facts: the provider's page on file storage; kept for seven days, or to the recall.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import IO, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from archiver.errors import AnswerUnusable, ProviderUnavailable, UsageError, WalkFailed
from archiver.http import DownloadLimits, SignedLink, Transfer, public_adapter, transfer
from archiver.http.download import Progress
from archiver.http.wire import Adapter
from archiver.model import Fetched, Pointer
from archiver.sources.easemob.auth import Tokens

LIMITS = DownloadLimits(progress_bytes=1)
FOREIGN_LIMITS = DownloadLimits(progress_bytes=1, total_s=600, byte_limit=1 << 30)

_HOPS = 5
_DOMAINS = (".easemob.com", ".easecdn.com", ".chat.agora.io", ".chat.realtimemesh.com")
"""One cloud under several names: SDKs write file addresses by hosts of another domain than the REST host's."""

_GONE = ("entity_not_found", "file_expired", "storage_object_not_found")
_ASCII = "".join(map(chr, range(128)))
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_CHATFILE = re.compile(
    r"(?i:https?)://(?P<host>[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?"
    r"(?P<prefix>(?:/[A-Za-z0-9._~-]{1,128}){0,4})/chatfiles/"
    rf"(?P<uuid>{_UUID})(?:\?(?P<query>[A-Za-z0-9._~!$'()*+,;=:@/?&%-]{{0,2048}}))?"
)
_SHARE_SECRET = re.compile(r"(?:^|[&?;])share-secret=([^&?;]*)")
"""`?`: of those who lay a query behind one. `;`: of `&amp;`, where a page was copied."""
_SECRET = re.compile(r"[!-~]{1,512}")


class Ours(NamedTuple):
    """Which urls are the provider's: by their hosts, or the domains they lie in, and by path prefixes; lower case."""

    hosts: frozenset[str]
    prefixes: frozenset[str]
    domains: tuple[str, ...] = ()

    def has(self, host: str, prefix: str) -> bool:
        return prefix in self.prefixes and (host.endswith(self.domains) or host in self.hosts)


class Chatfile(NamedTuple):
    """A file of the provider's, by the two things that are believed of a url."""

    uuid: str
    secret: str | None


def find_chatfile(pointer: Pointer, ours: Ours) -> Chatfile | None:
    """The file of the provider's that a url names; None for every other text. The host in it is never asked.

    Today's SDKs add a query: `em-redirect=true` asks for the storage's address instead of the file, `size=large`,
    `size=small` and `vframe=true` for a smaller copy. The path alone names the file, so every query is dropped, known
    or not, but for the share-secret, which goes into a header.
    """
    match = _CHATFILE.fullmatch(pointer.url)
    if match is None or not ours.has(match["host"].lower(), match["prefix"].lower()):
        return None
    in_query = _SHARE_SECRET.search(match["query"] or "")
    secret = pointer.secret or (in_query and unquote(in_query[1]))
    return Chatfile(match["uuid"].lower(), secret if secret and _SECRET.fullmatch(secret) else None)


def find_link(url: str) -> SignedLink | None:
    """A url as a plain http or https address, other alphabets percent-encoded; None where two readers could differ."""
    try:
        return SignedLink(quote(url, safe=_ASCII))
    except (AnswerUnusable, UnicodeEncodeError):
        return None


def authority(link: SignedLink) -> tuple[str, str]:
    """Scheme, and host with its port, in lower case and without a default port."""
    parts = urlsplit(link.url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    default = {"http": 80, "https": 443}[scheme]
    return scheme, host if parts.port in (None, default) else f"{host}:{parts.port}"


@dataclass(frozen=True, slots=True)
class Chatfiles:
    """Fetches the files of one app.

    `base_url` is the service with the app's prefix. `redirects`: hosts (or host:port) that the provider may redirect
    to; `foreign`: those from which other files are fetched. `public` makes the adapter for the latter.
    """

    base_url: str
    ours: Ours
    tokens: Tokens
    stop: threading.Event
    redirects: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()
    public: Callable[[], Adapter] = public_adapter
    direct: Callable[[], Adapter] = Adapter
    """Makes the adapter for the service itself and for where it redirects to."""
    verify: bool | str = True
    limits: DownloadLimits = field(default=LIMITS)
    rest: Callable[[float], None] = lambda _: None
    """Receives the seconds for which the provider, of all hosts, asks to be left alone."""

    def fetch(self, pointer: Pointer, into: IO[bytes], progress: Progress) -> Fetched:
        """One attempt. Raises CredentialsRefused, Stopped, and what `progress` and the temporary file raise."""
        own = find_chatfile(pointer, self.ours)
        try:
            return self._fetch_own(own, into, progress) if own else self._fetch_foreign(pointer, into, progress)
        except WalkFailed as error:
            return Fetched("refused", str(error))
        except ProviderUnavailable as error:
            return Fetched("failed", str(error), retry_after_s=error.retry_after_s)

    def _fetch_own(self, own: Chatfile, into: IO[bytes], progress: Progress) -> Fetched:
        link = SignedLink(f"{self.base_url}/chatfiles/{own.uuid}")
        token = self.tokens.borrow()
        headers = {"Authorization": f"Bearer {token}"} | ({"share-secret": own.secret} if own.secret else {})
        options = {"limits": self.limits, "progress": progress, "adapter": self.direct, "verify": self.verify}
        got = transfer(link, into, headers=headers, stop=self.stop, **options)  # type: ignore[arg-type]
        if got.status == 401:
            self.tokens.give_back(token)
        if got.rest_s:
            self.rest(got.rest_s)
        if got.location and 300 <= got.status < 400:
            return self._follow(link, got.location, into, progress)
        return _meaning(link, got, own=True)

    def _fetch_foreign(self, pointer: Pointer, into: IO[bytes], progress: Progress) -> Fetched:
        link = find_link(pointer.url)
        if link is None:
            return Fetched("foreign", "not the provider's, and no plain address")
        if not self._is_foreign(link):
            return Fetched("foreign", foreign_reason(authority(link)[1]))
        return self._ask(link, self.public, into, progress)

    def _follow(self, at: SignedLink, location: str, into: IO[bytes], progress: Progress, hops: int = 1) -> Fetched:
        link = find_link(_joined(at, location)) if _is_plain(location) else None
        if link is None:
            return Fetched("refused", f"{at.host} redirects to what is no plain address")
        scheme, host = authority(link)
        if hops > _HOPS:
            return Fetched("refused", f"{at.host}: redirected more than {_HOPS} times")
        if self._is_trusted(scheme, host):
            return self._ask(link, self.direct, into, progress, hops)
        if self._is_foreign(link):
            return self._ask(link, self.public, into, progress, hops)
        return Fetched("refused", f"{at.host} redirects to {host}, which is not configured")

    def _ask(
        self, link: SignedLink, adapter: Callable[[], Adapter], into: IO[bytes], progress: Progress, hops: int = 0
    ) -> Fetched:
        """Ask a host that gets no credentials."""
        limits = self.limits if adapter is self.direct else FOREIGN_LIMITS
        options = {"limits": limits, "progress": progress, "adapter": adapter, "verify": self.verify}
        try:
            got = transfer(link, into, headers={}, stop=self.stop, **options)  # type: ignore[arg-type]
        except UsageError as error:  # of one host among several: the others' files come all the same
            return Fetched("failed", str(error))
        if got.location and 300 <= got.status < 400:
            return self._follow(link, got.location, into, progress, hops + 1)
        return _meaning(link, got, own=False)

    def _is_trusted(self, scheme: str, host: str) -> bool:
        """Configured by the operator, who answers for its address: the service itself, or where it redirects to."""
        if (scheme, host) == authority(SignedLink(f"{self.base_url}/")):
            return True
        encrypted = scheme == "https" or re.fullmatch(r"127\.0\.0\.1(:[0-9]+)?", host) is not None
        return encrypted and host in self.redirects

    def _is_foreign(self, link: SignedLink) -> bool:
        scheme, host = authority(link)
        return scheme == "https" and host in self.foreign


def foreign_reason(host: str) -> str:
    """Why a file of this host was not fetched."""
    return f"not the provider's: {host}"


def _joined(at: SignedLink, location: str) -> str:
    """Where a redirect leads; without `urljoin`, which raises on some texts and mends others."""
    scheme, _, rest = at.url.partition("://")
    if location.startswith("//"):
        return f"{scheme}:{location}"
    return f"{scheme}://{rest.partition('/')[0]}{location}" if location.startswith("/") else location


def _is_plain(location: str) -> bool:
    """No character that one reader of addresses drops and another keeps."""
    return re.fullmatch(r"[!-\[\]-~\u0080-\U0010ffff]{1,8192}", location) is not None


def _meaning(link: SignedLink, got: Transfer, *, own: bool) -> Fetched:
    """What an answer means for the file. Only what can never come again is called gone."""
    if got.status == 200:
        return Fetched("stored", None, got.size, got.sha256, got.framed, got.served_as, status=200)
    reason = f"{link.host} answered {got.status}{f' ({got.code})' if got.code else ''}"
    if got.status == 410 or (got.status == 404 and (got.code in _GONE or not own)):
        state = "gone"
    elif got.status in (401, 404, 408, 409, 425, 429) or got.status >= 500 or got.status < 300:
        state = "failed"
    else:
        state = "refused"
    return Fetched(state, reason, retry_after_s=got.retry_after_s, status=got.status)


def ours(base_url: str, prefixes: Iterable[str], hosts: Iterable[str] = ()) -> Ours:
    """What counts as the provider's: the host that is configured, `hosts`, and on its cloud any host of its domains."""
    own = (urlsplit(base_url).hostname or "").lower()
    domains = _DOMAINS if own.endswith(_DOMAINS) else ()
    return Ours(frozenset({own, *hosts}), frozenset(prefix.lower() for prefix in prefixes), domains)
