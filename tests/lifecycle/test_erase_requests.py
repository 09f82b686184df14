"""Requests to erase: what is asked for, what quotes it, who has copies, and who may say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.export.samples import said
from tests.lifecycle.conftest import Persons

TEXT = "my number is 110101199003070011"
WHY = ("--case", "E 3", "--reason", "letter of 2026-11-02")


def with_a_needle(persons: Persons) -> None:
    """A message of erased-1's; one that quotes it, one that forwards it, one that has its id in ext; and a bad one."""
    archive = persons.archive
    start = archive.server.start_ms
    people = {"from": "erased-1", "to": "erased-2"}
    archive.server.add(said("900000000001", TEXT, start, **people) | people, visible_ms=0)
    archive.server.add(said("900000000002", f"> {TEXT.upper()}\nreally?", start + 1), visible_ms=0)
    forwarded = said("900000000003", "two messages", start + 2)
    forwarded["payload"]["bodies"] = [{"type": "txt", "subType": "sub_combine", "msg": "", "title": "chat", "x": TEXT}]
    archive.server.add(forwarded, visible_ms=0)
    quoting = said("900000000004", "yes", start + 3, ext={"msgQuote": {"msgID": "900000000001", "msgPreview": "my"}})
    archive.server.add(quoting, visible_ms=0)
    archive.server.add(said("9000000000015", "another id", start + 4), visible_ms=0)
    archive.server.add(b'{"msg_id":"900000000001","timestamp":"never"}', timestamp_ms=start + 5, visible_ms=0)
    assert archive("audit", "--from", str(start), "--to", str(start + 60_000)) in (0, 3)


def body(persons: Persons, number: int = 1) -> dict[str, Any]:
    return dict(json.loads(persons.archive.database.value("SELECT body FROM requests WHERE id = ?", number)))


def test_a_request_lists_what_quotes_the_messages_and_who_has_copies(persons: Persons, tmp_path: Path) -> None:
    archive = persons.archive
    with_a_needle(persons)
    plain = archive.config.read_text()
    archive.config.write_text(plain.replace('["export", "accept"]', "[]"))
    for number, more in enumerate((("--sender", "ERASED-1"), ("--sender", "iris"), ())):
        folder = str(tmp_path / str(number))
        assert archive("export", "--format", "jsonl", "--output", folder, *more) in (0, 3)
    archive.config.write_text(plain)
    persons.now("alice")
    assert archive("erase", "request", "--sender", "Erased-1", *WHY) == 0
    assert "900000000002" in archive.output
    assert TEXT not in archive.output
    asked = body(persons)
    assert (asked["asked"], asked["related"], asked["related_left"]) == (1, 0, 3)
    assert asked["related_left_ids"] == ["900000000002", "900000000003", "900000000004"]
    assert TEXT not in json.dumps(asked)
    taken = archive.database.rows("SELECT export_id FROM audit_log WHERE outcome = 'begun' ORDER BY id")
    assert [one["export_id"] for one in asked["exports"]] == [taken[0][0], taken[2][0]]
    assert [one["outcome"] for one in asked["exports"]] == ["done", "done"]
    assert asked["quarantined"] == (1 if archive.database.kind == "sqlite" else None)
    listed = tmp_path / "listed"
    listed.write_text("900000000002\n900000000004\n")
    assert archive("erase", "request", "--sender", "erased-1", "--include", str(listed), *WHY) == 0
    items = archive.database.rows("SELECT msg_id, line FROM request_items WHERE request_id = 2 ORDER BY msg_id")
    assert items == [("900000000001", "asked"), ("900000000002", "related"), ("900000000004", "related")]
    assert (body(persons, 2)["related"], body(persons, 2)["related_left_ids"]) == (2, ["900000000003"])


def test_a_request_may_name_ids(persons: Persons, tmp_path: Path) -> None:
    archive = persons.archive
    with_a_needle(persons)
    listed = tmp_path / "listed"
    listed.write_text("900000000001\nnobody's\n")
    persons.now("alice")
    assert archive("erase", "request", "--ids", str(listed), *WHY) == 2
    assert "--app" in archive.errors
    app = archive.server.app
    assert archive("erase", "request", "--app", app, "--ids", str(listed), *WHY) == 0
    assert "not in the archive" in archive.output
    assert body(persons)["filter"] == {"app": app, "ids": 2}
    listed.write_text("nobody's\n")
    assert archive("erase", "request", "--app", app, "--ids", str(listed), *WHY) == 2
    assert archive("erase", "request", "--sender", "erased-1", "--include", str(listed), *WHY) == 2
    assert "quote none" in archive.errors
    assert archive("erase", "request", *WHY) == 2
    assert "everything" in archive.errors
    assert persons.archive.count("requests") == 1


def test_what_a_request_names_is_said_by_who_makes_it_and_before_it_is_decided_on(persons: Persons) -> None:
    archive = persons.archive
    with_a_needle(persons)
    persons.now("alice")
    assert archive("erase", "request", "--sender", "erased-1", *WHY) == 0
    more = "INSERT INTO request_items (request_id, app_id, msg_id, line) VALUES (1, 1, '{}', 'asked')"
    if archive.database.kind == "postgresql":
        with pytest.raises(Exception, match="somebody else's"):
            persons.run("bob", more.format("900000000002"))
    persons.now("bob")
    assert archive("requests", "approve", "1") == 0
    for name in ("alice", "bob"):
        with pytest.raises(Exception, match="decided on already"):
            persons.run(name, more.format("900000000002"))
    assert archive.count("request_items") == 1


def test_showing_what_a_request_names_is_a_look(persons: Persons) -> None:
    archive = persons.archive
    with_a_needle(persons)
    whole = archive.config.read_text()
    persons.now("alice")
    assert archive("erase", "request", "--sender", "erased-1", *WHY) == 0
    archive.database.run("UPDATE messages SET withheld = 1 WHERE FALSE")
    archive.config.write_text(f"[review]\nlooks = true\n{archive.config.read_text()}")
    assert archive("erase", "show", "1") == 0
    assert TEXT in archive.output
    assert "1 messages, 0 erased, 0 sealed" in archive.output
    rows = archive.database.rows("SELECT outcome, action, found FROM looks ORDER BY id")
    assert rows == [("begun", "sealed", None), ("done", "sealed", 1)]
    assert archive("erase", "show", "9") == 2
    archive.config.write_text(whole)


@pytest.mark.full
def test_where_nothing_may_be_deleted_nobody_asks_for_it(persons: Persons) -> None:
    archive = persons.archive
    archive.config.write_text(archive.config.read_text().replace("[lifecycle]", "[lifecycle]\ndeletion = false"))
    assert archive("erase", "request", "--sender", "iris", *WHY) == 2
    assert "deletion = false" in archive.errors
