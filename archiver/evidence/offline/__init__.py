"""The verifier that goes with what is handed out: one file, made of the modules here, which know no other module.

They are written for Python 3.9 and for readers who have never seen this program.
"""

from __future__ import annotations

import ast
from pathlib import Path

_PARTS = ("curve", "texts", "stamps", "folder", "verify")


def program() -> str:
    """The text of verify.py."""
    plain: set[str] = set()
    taken: dict[str, set[str]] = {}
    sections = []
    for name in _PARTS:
        source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        tree = ast.parse(source)
        end = 0
        for node in tree.body:
            if isinstance(node, ast.Import):
                plain |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith(("archiver", "__future__")):
                taken.setdefault(str(node.module), set()).update(alias.name for alias in node.names)
            if isinstance(node, ast.Import | ast.ImportFrom):
                end = node.end_lineno or 0
        about = (ast.get_docstring(tree) or "").partition("\n")[0]
        sections.append(f"\n# {about}\n\n" + "\n".join(source.splitlines()[end:]).strip("\n"))
    imports = [f"import {name}" for name in sorted(plain)]
    imports += [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(taken.items())]
    head = [
        "#!/usr/bin/env python3",
        f'"""{ast.get_docstring(tree, clean=False)}"""',
        "",
        "from __future__ import annotations",
    ]
    return "\n".join([*head, "", *imports, "", *sections, ""])
