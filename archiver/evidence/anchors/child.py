"""The child process in which one call to a sink runs: a request on standard input, answers as lines of JSON.

The request holds the address of a webhook, which is a secret: so it comes in this way, and nothing is said on standard
error.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from archiver.errors import ArchiverError


def main() -> None:
    request = json.load(sys.stdin.buffer)
    try:
        for answer in _answers(request):
            _say(answer)
        _say({"end": True})
    except ArchiverError as error:
        _say({"problem": str(error), "hint": error.hint, "code": error.exit_code})
    except Exception as error:  # its text may quote a secret; the name of its class does not
        _say({"problem": f"{type(error).__module__}.{type(error).__name__}", "hint": None, "code": 1})


def _answers(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    sink = import_module(f"archiver.evidence.anchors.{request['sink']}")
    arguments = dict(request["arguments"])
    for name in ("note", "lines"):
        if name in arguments:
            arguments[name] = base64.b64decode(arguments[name])
    if "way" in arguments:
        from archiver.http import Way

        arguments["way"] = Way(*arguments["way"])
    if request["action"] == "put":
        proof, problem = sink.put(**arguments) or (None, None)
        yield {"proof": None if proof is None else base64.b64encode(proof).decode(), "unverified": problem}
    elif request["action"] == "note":
        sink.note(**arguments)
    elif request["action"] == "noted":
        yield from ({"lines": lines.decode("ascii", "replace")} for lines in sink.noted(**arguments))
    elif request["action"] == "newer":
        yield from ({"note": note.decode()} for note in sink.newer(**arguments))
    else:
        yield from ({"weakness": weakness} for weakness in sink.probe(**arguments))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
