"""What keeps the program readable, as figures: sizes of modules and functions, names, and words to avoid."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "archiver").rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_modules_are_short() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert median(sizes.values()) <= 150
    assert {path: lines for path, lines in sizes.items() if lines > 350} == {}


def test_functions_are_short() -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for path in MODULES for node in ast.walk(parsed(path)) if isinstance(node, functions)]
    lines = sorted((node.end_lineno or 0) - node.lineno + 1 for node in nodes)
    assert lines[len(lines) * 9 // 10] <= 20
    assert lines[-1] <= 50


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


@pytest.mark.parametrize(("word", "most"), [("each", 40), ("found", 40), ("told", 5), ("wanted", 5), ("odd", 2)])
def test_words_that_say_nothing_about_a_value_are_rare(word: str, most: int) -> None:
    counts = Counter({path.name: len(re.findall(rf"\b{word}\b", path.read_text(encoding="utf-8"))) for path in MODULES})
    assert counts.total() <= most, counts.most_common(8)
