"""What programs read is what the schemas in docs/json/ say, every key of it; and those promise it for version 1."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from tests.fixtures.archive import DAY, Archive
from tests.fixtures.schemas import SCHEMAS, check


@pytest.mark.full
def test_json_is_what_its_schema_says(archive: Archive) -> None:
    for command in ("status", "coverage"):
        archive(command, "--format", "json")
        check(command, json.loads(archive.output))
    assert archive("pull") == 0
    archive.database.run("UPDATE windows SET state = 'expired', reason = 'dropped' WHERE pass = 1")
    archive.database.run("UPDATE windows SET state = 'accepted', accepted_by = 'ann' WHERE id = 1")
    assert archive("status", "--format", "json") == 3
    status = json.loads(archive.output)
    assert {hole["state"] for hole in status["apps"][0]["holes"]} >= {"accepted"}
    check("status", status)
    archive("coverage", "--format", "json")
    check("coverage", json.loads(archive.output))
    archive("statement", "--from", str(archive.server.start_ms - DAY), "--format", "json")
    statement = json.loads(archive.output)
    assert statement["apps"][0]["outside"]
    check("statement", statement)
    archive("search", "e", "--limit", "5", "--format", "jsonl")
    lines = archive.output.splitlines()
    assert len(lines) == 5
    for line in lines:
        check("search", json.loads(line))
    archive("doctor", "--format", "json")
    check("doctor", json.loads(archive.output))
    archive.database.run("UPDATE windows SET state = 'closed', reason = NULL, accepted_by = NULL WHERE pass = 1")


@pytest.mark.parametrize("name", ["status", "coverage", "statement", "search", "search-event", "doctor"])
def test_a_schema_refuses_what_lacks_its_version(name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    assert not Draft202012Validator(schema).is_valid({})
    assert schema["properties"]["version"] == {"const": 1}
