"""Why a request failed, what helps, and whether the same could succeed later."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import urllib3.exceptions as urllib3_errors

from archiver.errors import CertificateRefused, ConfigurationError, UsageError
from archiver.http.wire import Broken, NotPrivate


def reason(error: BaseException) -> str:
    """Why a request failed. The libraries' own texts hold the query string."""
    for cause in _causes(error):
        match cause:
            case Broken():
                return str(cause)
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted ({cause.verify_message})"
            case urllib3_errors.ProxyError() if not certificate_problem(cause):
                return "the proxy could not be reached, or did not connect it"
            case socket.gaierror():
                return "its name cannot be resolved"
            case ConnectionRefusedError():
                return "it refused the connection"
            case urllib3_errors.ConnectTimeoutError() if not isinstance(cause, urllib3_errors.NewConnectionError):
                return "it did not take the connection in time"
            case urllib3_errors.ReadTimeoutError():
                return "it was silent for too long"
    return "the connection broke off"


def remedy(error: BaseException) -> str | None:
    """What helps against a request that failed and may not fail again."""
    for cause in _causes(error):
        match cause:
            case urllib3_errors.ProxyError():
                return "check [http] proxy, and what it lets pass"
            case socket.gaierror():
                return "check base_url, and this machine's DNS; a mandatory proxy goes into [http] proxy"
            case ConnectionRefusedError():
                return "check base_url and its port; the service, or a firewall before it, refuses"
            case urllib3_errors.ConnectTimeoutError() if not isinstance(cause, urllib3_errors.NewConnectionError):
                return "check base_url and the firewall; a mandatory proxy goes into [http] proxy"
    return "if it lasts: the network, a proxy between, or the provider; archiver doctor tries it again"


def permanent(where: str, error: BaseException) -> UsageError | None:
    """What no repetition mends: a certificate that is not trusted, or plain http to a place where it may not go."""
    if (problem := certificate_problem(error)) is not None:
        hint = _REMEDIES.get(
            problem.verify_code, '[http] ca_file = "/etc/ssl/certs/company.pem", if it is your own CA\'s'
        )
        return CertificateRefused(f"{where}: {reason(error)}", hint=hint)
    if any(isinstance(cause, NotPrivate) for cause in _causes(error)):
        return ConfigurationError(f"{where}: {reason(error)}", hint="https, or an address of your own network")
    return None


_REMEDIES = {
    10: "it has expired, by this machine's clock: its operator has to renew it",
    62: "it is another host's: check base_url",
    64: "it is another host's: check base_url",
}


def certificate_problem(error: BaseException) -> ssl.SSLCertVerificationError | None:
    problems = (cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError))
    return next(problems, None)


def is_unsent(error: BaseException) -> bool:
    """Whether the request certainly never reached the service."""
    before = (urllib3_errors.ConnectTimeoutError, urllib3_errors.NewConnectionError, ssl.SSLCertVerificationError)
    return any(isinstance(cause, before) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
