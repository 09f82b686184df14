"""[evidence] and [[evidence.anchors]] from a draft: the kind of a sink decides which keys it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver.config import evidence
from archiver.config.draft import Draft, known_keys
from archiver.config.evidence import KINDS, Evidence, Sink

_IN_FILES = ("webhook", "sign_secret")
_REQUIRED = {
    "file": {"path": "write a file on another host's mount"},
    "s3": {"url": "write s3://bucket/prefix"},
    "webhook": {"webhook": "name a file with the address in webhook_file"},
    "rfc3161": {"url": "write the authority's address", "root_file": "name a PEM file with its root certificate"},
}


def read(draft: Draft, given: dict[str, Any], environ: Mapping[str, str]) -> Evidence | None:
    """The section, or None where something is wrong with it; the draft has the problems."""
    anchors = given.pop("anchors", [])
    if not (isinstance(anchors, list) and all(isinstance(anchor, dict) for anchor in anchors)):
        draft.wrong(("evidence", "anchors"), "is not a list of tables; begin every sink with [[evidence.anchors]]")
        anchors = []
    sinks = [_sink(draft, index, dict(anchor)) for index, anchor in enumerate(anchors)]
    _refuse_twins(draft, sinks)
    state = given.get("state_file") or evidence.default_state(environ)
    if state is None:
        problem = "is missing; neither STATE_DIRECTORY nor HOME says where state belongs"
        draft.wrong(("evidence", "state_file"), problem)
    paths = {key: draft.folder / str(given[key]) for key in ("key_file",) if key in given}
    section = {**given, **paths, "state_file": draft.folder / str(state)}
    result = draft.read(Evidence, ("evidence",), section)
    if result is None or any(sink is None for sink in sinks):
        return None
    if not draft.offline:
        draft.exposed(("evidence", "key_file"), result.key_file)
    return result.model_copy(update={"anchors": tuple(sinks)})


def _sink(draft: Draft, index: int, given: dict[str, Any]) -> Sink | None:
    path = ("evidence", "anchors", index)
    kind = KINDS.get(str(given.get("sink")))
    if kind is None:
        problem = f"{given['sink']!r} is unknown" if "sink" in given else "is missing"
        draft.wrong((*path, "sink"), f'{problem}; write "file", "s3", "webhook" or "rfc3161"')
        return None
    if kind is evidence.WebhookSink:
        _secrets(draft, index, given)
    for key in ("path", "root_file"):
        if isinstance(given.get(key), str) and key in known_keys(kind):
            file = draft.folder / given[key]
            given[key] = file if draft.offline else str(file)  # certificates of a text are looked at
    required = {} if draft.offline else _REQUIRED[str(given["sink"])]
    missing = {key: text for key, text in required.items() if key not in given}
    for key, text in missing.items():
        draft.wrong((*path, key), f"is missing; {text}")
    problems = len(draft.problems)
    result = draft.read(kind, path, given, left_out=missing)
    return result if len(draft.problems) == problems and not missing else None


def _secrets(draft: Draft, index: int, given: dict[str, Any]) -> None:
    """Address and signing secret from their files; a command that only reads the database needs neither."""
    for key in _IN_FILES:
        path, file = ("evidence", "anchors", index, key), ("evidence", "anchors", index, f"{key}_file")
        if key in given and file[-1] in given and (path in draft.origins) == (file in draft.origins):
            draft.wrong(file, f"stands beside {key}; keep one of them")
        name = given.pop(str(file[-1]), None)
        if draft.offline:
            given.pop(key, None)
        elif name is not None and path not in draft.origins:
            given[key] = draft.secret_from(file, name)
        elif key in given and path not in draft.origins:
            where = f"evidence.anchors[{index}].{key}"
            draft.warnings.append(f"{where}: this is a secret; move it to a file that only we can read")


def _refuse_twins(draft: Draft, sinks: list[Sink | None]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for index, sink in enumerate(sinks):
        if sink is None:
            continue
        place = sink.place
        if isinstance(sink, evidence.WebhookSink):
            place = sink.webhook.get_secret_value() if sink.webhook else str(index)
        if (first := seen.setdefault((sink.sink, place), index)) != index:
            draft.wrong(("evidence", "anchors", index), f"is evidence.anchors[{first}] again; remove one")
