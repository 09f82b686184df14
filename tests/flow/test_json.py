"""What programs read is what the schemas in docs/json/ say, every key of it; and those promise it for version 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.fixtures.archive import DAY, Archive

SCHEMAS = Path(__file__).parents[2] / "docs" / "json"


def closed(schema: Any) -> Any:
    """The same, and no key that it does not describe: users are told to expect more, the test is not."""
    if isinstance(schema, dict):
        parts = {key: closed(value) for key, value in schema.items()}
        return {**parts, "additionalProperties": False} if "properties" in parts else parts
    return [closed(part) for part in schema] if isinstance(schema, list) else schema


def check(name: str, content: Any) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    problems = list(Draft202012Validator(closed(schema)).iter_errors(content))
    assert not problems, problems[0]


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


@pytest.mark.parametrize("name", ["status", "coverage", "statement", "search", "doctor"])
def test_a_schema_refuses_what_lacks_its_version(name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    assert not Draft202012Validator(schema).is_valid({})
    assert schema["properties"]["version"] == {"const": 1}
