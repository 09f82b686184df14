"""Which part of the server answers which request."""

from __future__ import annotations

from archiver.sandbox.chatfiles import fetch_file, redirected_file
from archiver.sandbox.hours import fetch_hour, link_hour
from archiver.sandbox.pages import list_messages
from archiver.sandbox.sending import batch_presence, presence, send_2014, send_now, send_seed
from archiver.sandbox.service import Service
from archiver.sandbox.tokens import give_token, refusal
from archiver.sandbox.wire import SandboxAnswer, SandboxRequest


def route(service: Service, request: SandboxRequest) -> SandboxAnswer:
    segments = request.segments
    if request.host == "files":
        return _stored(service, request, segments)
    named = segments[:2] == ["app-id", service.application]
    if segments[:2] != [service.org, service.app] and not named:
        where = "/".join(segments[:2])
        description = f"Could not find application for {where} from URI: {'/'.join(segments)}"
        return service.error(request, 404, "organization_application_not_found", description)
    rest = segments[2:]
    if (request.method, rest) == ("POST", ["token"]):
        return give_token(service, request)
    if rest[:1] == ["chatfiles"]:
        return fetch_file(service, request, rest)
    hourly = rest[:1] == ["chatmessages"] and len(rest) == 2
    return _limited(service, request, bare=hourly) or _inside(service, request, rest)


def _inside(service: Service, request: SandboxRequest, rest: list[str]) -> SandboxAnswer:
    """The routes that need a token."""
    match request.method, rest:
        case "GET", ["chatmessages"]:
            return list_messages(service, request)
        case "GET", ["chatmessages", hour]:
            return link_hour(service, request, hour)
        case "GET", ["users", user, "status"]:
            return presence(service, request, user)
        case "POST", ["users", "batch", "status"]:
            return batch_presence(service, request)
        case "POST", ["users" | "groups" | "chatgroups" as kind, target, "messages"]:
            return send_seed(service, request, kind, target)
        case "POST", ["messages"]:
            return send_2014(service, request)
        case "POST", ["messages", "users" | "chatgroups" | "chatrooms" as kind]:
            return send_now(service, request, kind)
    return service.not_found(request)


def _stored(service: Service, request: SandboxRequest, segments: list[str]) -> SandboxAnswer:
    """The other host: signed files, and where attachments are redirected to."""
    if segments[0] == "chatfiles":
        return redirected_file(service, request, segments)
    return fetch_hour(service, request, segments)


def _limited(service: Service, request: SandboxRequest, *, bare: bool) -> SandboxAnswer | None:
    """The refusal of a request whose token or quota is not in order; `bare` ones are not described."""
    refused = refusal(service, request, bare=bare)
    if refused is None and service.faults.resource_limited:
        words = "You have exceeded the limit of the Free edition. Please upgrade to a higher edition."
        return service.error(request, 429, "resource_limited", words)
    return refused
