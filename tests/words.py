"""The catalogues of languages: `make words` brings them up to the texts in the code, and compiles them."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from archiver.language import ERROR, ERRORS, PROBLEM, PROBLEMS, REMEDIES, REMEDY

PACKAGE = Path(__file__).parents[1] / "archiver"
CATALOGUE = PACKAGE / "locale" / "zh_CN" / "LC_MESSAGES" / "archiver.po"
_NO_DATE = datetime(2026, 1, 1, tzinfo=UTC)
"""What is made from the same texts is the same file."""
_KEYWORDS = {"say": None, "plural": (1, 2), "parts": None}
_METHODS = [("**.py", "python"), ("page/templates/**.html", "jinja2.ext:babel_extract")]


def template() -> Catalog:
    """What the code says to people, by `Language.say` and `Language.plural`."""
    catalogue = Catalog()
    for path, line, text, comments, _ in extract_from_dir(PACKAGE, keywords=_KEYWORDS, method_map=_METHODS):
        if isinstance(text, str) or all(isinstance(part, str) for part in text):
            catalogue.add(text, None, [(path, line)], auto_comments=comments)
    for remedy in remedies():
        catalogue.add(remedy, context=REMEDY)
    for problem in problems():
        catalogue.add(problem, context=PROBLEM)
    for error in errors():
        catalogue.add(error, context=ERROR)
    return catalogue


def remedies() -> set[str]:
    """What errors and findings advise, as templates: literals as `hint=` and `remedy=`, and those behind a name."""
    return {
        text
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent.name not in ("sandbox", "service")
        for text in _advice(path)
    }


def problems() -> set[str]:
    """What a verification can say of a row, as templates: behind `differ`, and what functions of problems give."""
    folder = PACKAGE / "evidence" / "verify"
    paths = [*sorted(folder.glob("*.py")), PACKAGE / "cli" / "evidence.py"]
    return {text for path in paths for text in _findings(path) if re.search("[a-z]", text)}


def _findings(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    values = _named(tree)
    for node in ast.walk(tree):
        for problem in _problems(node):
            yield from _templates(problem, values)


def _problems(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.FunctionDef) and re.search("problem|unentered|of_checkpoint|enter$", node.name):
        for part in ast.walk(node):
            if isinstance(part, ast.Return) and part.value:
                yield part.value
            elif isinstance(part, ast.Yield) and isinstance(part.value, ast.Tuple):
                yield part.value.elts[-1]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "differ":
            yield node.args[2]
        elif (node.func.attr, ast.unparse(node.func.value)) == ("append", "self._findings.lost"):
            yield node.args[0]


_SHOWN = ("ArchiveIncomplete", "TryAgainLater", "UsageError")
"""Errors whose words the review page shows."""
_BELOW = ("store/ledger.py", "store/seals.py", "store/read/*.py", "store/search/*.py")


def errors() -> set[str]:
    """What the review page may have to say of errors from other rooms, and of a proof that is not there."""
    paths = {path for page in (PACKAGE / "page").glob("*.py") for path in _imported(page)}
    paths |= {path for pattern in _BELOW for path in PACKAGE.glob(pattern)}
    texts = (text for path in paths if path.parent.name != "page" for text in _raised(path))
    return {text for text in texts if re.search("[a-z]{3}", re.sub(r"\{\d+\}", "", text))}


def _imported(path: Path) -> Iterator[Path]:
    """The modules of ours that a module imports by their names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("archiver"):
            place = PACKAGE.parent.joinpath(*str(node.module).split("."))
            known = [place.with_suffix(".py"), place / "__init__.py", *(place / f"{one.name}.py" for one in node.names)]
            yield from (one for one in known if one.exists())


def _raised(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    values = _named(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SHOWN:
            for message in node.args[:1]:
                yield from _templates(message, values)
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            for missing in (value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "missing"):
                yield from _templates(missing, values)
        elif path.name == "proofs.py" and path.parent.name == "evidence" and isinstance(node, ast.Assign):
            named = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            for reason in (one for one in named if isinstance(one, ast.Constant)):
                yield from _templates(reason, values)


def _named(tree: ast.AST) -> dict[str, list[ast.expr]]:
    """What each name of a module may stand for."""
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(node.value)
    return values


def _advice(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    values = _named(tree)
    for node in ast.walk(tree):
        for advice in _arguments(node):
            yield from _templates(advice, values)


def _arguments(node: ast.AST) -> Iterator[ast.expr]:
    """Where advice stands: `hint=`, `remedy=`, what a function `remedy` returns, the last argument of a Risk or a
    MovedStart, the fourth of a Finding."""
    if isinstance(node, ast.FunctionDef) and node.name == "remedy":
        yield from (part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value)
    if isinstance(node, ast.keyword) and node.arg in ("hint", "remedy"):
        yield node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        at = {"Risk": 1, "Finding": 3, "MovedStart": 3}.get(node.func.id)
        if at is not None and len(node.args) > at:
            yield node.args[at]


def _templates(value: ast.expr, values: dict[str, list[ast.expr]], depth: int = 6) -> Iterator[str]:
    """The literals that an expression may be, each value in them a number in braces."""
    if (text := _literal(value)) is not None:
        if " " in text.strip() and text.strip() != "&&":  # or it is a key
            yield text
    elif depth:
        for part in _parts(value, values):
            yield from _templates(part, values, depth - 1)


def _literal(value: ast.expr) -> str | None:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        numbers = count()  # of what `format` puts in
        return re.sub(r"\{\w+\}", lambda _: f"{{{next(numbers)}}}", value.value)
    if not isinstance(value, ast.JoinedStr):
        return None
    numbers = count()
    return "".join(
        _escaped(str(part.value)) if isinstance(part, ast.Constant) else f"{{{next(numbers)}}}" for part in value.values
    )


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _parts(value: ast.expr, values: dict[str, list[ast.expr]]) -> list[ast.expr]:
    """What an expression may come to."""
    match value:
        case ast.IfExp():
            return [value.body, value.orelse]
        case ast.BoolOp(values=parts) | ast.Dict(values=parts):
            return parts
        case ast.Name(name):
            return values.get(name, [])
        case ast.Call(args=arguments, func=ast.Attribute(value=inner)):
            return [inner, *arguments]
        case ast.Call(args=arguments):
            return arguments
        case ast.GeneratorExp(generators=[ast.comprehension(iter=inner)]):
            return [inner]
    return []


def read() -> Catalog:
    """The Chinese catalogue as it stands in the tree."""
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="zh_CN")


def compiled(catalogue: Catalog) -> bytes:
    """What gettext reads."""
    file = io.BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def main() -> int:
    """Renew the catalogue and its compiled form; 1 where a text has no translation yet."""
    catalogue = read() if CATALOGUE.exists() else Catalog(locale="zh_CN")
    catalogue.update(template(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.creation_date = catalogue.revision_date = _NO_DATE
    with CATALOGUE.open("wb") as file:
        write_po(file, catalogue, width=110, no_location=True, sort_output=True, omit_header=False)
    CATALOGUE.with_suffix(".mo").write_bytes(compiled(catalogue))
    PROBLEMS.write_text(json.dumps(sorted(problems()), indent=0) + "\n", encoding="utf-8")
    ERRORS.write_text(json.dumps(sorted(errors()), indent=0) + "\n", encoding="utf-8")
    REMEDIES.write_text(json.dumps(sorted(remedies()), indent=0) + "\n", encoding="utf-8")
    missing = [message.id for message in catalogue if message.id and not _translated(message.string)]
    for text in missing:
        print("not translated:", text)  # noqa: T201 - for whoever translates
    return 1 if missing else 0


def _translated(string: object) -> bool:
    return all(string) if isinstance(string, tuple) else bool(string)


if __name__ == "__main__":
    sys.exit(main())
