"""One message: all of its versions and events, where it came from, and its proof; for auditors as it came."""

from __future__ import annotations

import io
import uuid
import zipfile
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from flask import Response, make_response, request

from archiver.errors import ArchiverError
from archiver.evidence import single
from archiver.evidence.proofs import Prover
from archiver.page import forms, reading
from archiver.page.context import ReviewPage, note, open_look, page, view
from archiver.page.forms import MessageName
from archiver.page.reading import NoMessage, ShownMessage
from archiver.page.viewings import LookAnswer
from archiver.store.engine import Tx
from archiver.store.read import events, filters, listing, proofs, provenance
from archiver.store.read.events import MessageEvent
from archiver.store.read.messages import readable
from archiver.store.read.proofs import AnchoredNote
from archiver.store.read.provenance import MessageOrigin


class ProvedRecord(NamedTuple):
    """Whether one record is proved: the place of its entry, or why there is no proof."""

    revision: int
    entry: int | None
    leaf: int | None
    missing: str | None


class MessageProof(NamedTuple):
    """The proofs of a message, checked just now. `since_ms`: when the first sink took them."""

    records: tuple[ProvedRecord, ...]
    origin: str
    size: int
    since_ms: int | None
    anchors: tuple[AnchoredNote, ...]


class MessagePage(NamedTuple):
    """What is drawn. `unproved`: why there are no proofs at all; None where the archive makes none."""

    shown: ShownMessage
    origins: tuple[tuple[int, MessageOrigin], ...]
    events: tuple[MessageEvent, ...]
    proved: MessageProof | None
    unproved: str | None


@dataclass(frozen=True, slots=True)
class MessageLook:
    """A message with all that is known about it."""

    name: MessageName
    action: ClassVar[str] = "message"
    template: ClassVar[str] = "message.html"
    number: ClassVar[int] = 1

    def asked(self) -> dict[str, Any]:
        return self.name._asdict()

    def read(self, place: ReviewPage) -> LookAnswer:
        name = self.name
        with place.store.read() as tx:
            app_id = _app_id(tx, name)
            messages = readable(tx, app_id, name.app, [name.msg_id])
            (shown,) = reading.marked(tx, app_id, messages)
            places = proofs.of_messages(tx, app_id, name.app, [name.msg_id])
            origins = [(one.revision, provenance.of_page(tx, one.page_id)) for one in places]
            known = tuple((revision, origin) for revision, origin in origins if origin is not None)
            reported = tuple(events.of_message(tx, app_id, name.msg_id))
            proved, why = _proved(tx, app_id, name) if place.settings.evidence is not None else (None, None)
            files = reading.files_of(tx, app_id, messages)
        content = MessagePage(shown, known, reported, proved, why)
        return LookAnswer(content, 1, reading.conversations_of(messages), files)


def _app_id(tx: Tx, name: MessageName) -> int:
    """Raises ArchiverError where there is no such message."""
    apps = filters.app_ids(tx, name.app)
    if not listing.there(tx, apps[0], [name.msg_id]):
        raise NoMessage
    return apps[0]


def _proved(tx: Tx, app_id: int, name: MessageName) -> tuple[MessageProof | None, str | None]:
    try:
        prover = Prover(tx)
    except ArchiverError as error:
        return None, view().language.error(str(error))
    records = []
    for place in proofs.of_messages(tx, app_id, name.app, [name.msg_id]):
        proof = prover.proof(place, proofs.raw(tx, app_id, place))
        records.append(ProvedRecord(place.revision, proof.get("entry"), proof.get("leaf"), proof.get("missing")))
    last = max((one.entry for one in records if one.entry is not None), default=None)
    origin, size = prover.note.origin, prover.note.size
    anchors = [] if last is None else [one for one in proofs.anchored(tx) if one.origin == origin and one.size > last]
    by_sink = {one.sink: one for one in sorted(anchors, key=lambda one: one.at_ms, reverse=True)}
    since_ms = min((one.at_ms for one in by_sink.values()), default=None)
    return MessageProof(tuple(records), origin, size, since_ms, tuple(by_sink.values())), None


@dataclass(frozen=True, slots=True)
class RawLook:
    """The records of a message, byte for byte."""

    name: MessageName
    action: ClassVar[str] = "raw"
    template: ClassVar[str] = "raw.html"
    number: ClassVar[int] = 1

    def asked(self) -> dict[str, Any]:
        return self.name._asdict()

    def read(self, place: ReviewPage) -> LookAnswer:
        with place.store.read() as tx:
            app_id = _app_id(tx, self.name)
            places = proofs.of_messages(tx, app_id, self.name.app, [self.name.msg_id])
            records = tuple((one.revision, proofs.raw(tx, app_id, one)) for one in places)
            conversation = proofs.conversation(tx, app_id, self.name.msg_id)
        return LookAnswer(records, len(records), ((self.name.app, conversation),))


def open_message() -> Response:
    """A message, by the button beside it."""
    return open_look(MessageLook(forms.message_name(request.form)))


def open_raw() -> Response:
    """Its records as they came."""
    return open_look(RawLook(forms.message_name(request.form)))


def download_proof() -> Response:
    """Records, proofs and what verifies them anywhere, as `archiver evidence proof` writes them, in one file."""
    name = forms.message_name(request.form)
    with page().store.read() as tx:
        app_id = _app_id(tx, name)
        files, records = single.files(tx, name.msg_id, name.app)
        conversation = proofs.conversation(tx, app_id, name.msg_id)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files:
            archive.writestr(f"proof/{path}", content)
    answer = LookAnswer(None, records, ((name.app, conversation),))
    note(str(uuid.uuid4()), "proof", name._asdict(), answer)
    response = make_response(packed.getvalue())
    response.headers["Content-Type"] = "application/zip"
    response.headers["Content-Disposition"] = 'attachment; filename="proof.zip"'
    return response
