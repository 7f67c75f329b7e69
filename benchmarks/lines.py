"""The number of lines in the library by kind: code, imports, docstrings, comments, blank lines.

`python -m benchmarks.lines` counts core/slimgen, or the folders that are named.
"""

import argparse
import ast
import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("code", "imports", "docstrings", "comments", "blank")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[ROOT / "core" / "slimgen"])
    print("| folder | files | lines | " + " | ".join(KINDS) + " |\n" + "| --- " * (3 + len(KINDS)) + "|")
    for folder in parser.parse_args().folders:
        whole: Counter[str] = Counter()
        files = 0
        rooms = sorted(path for path in folder.iterdir() if path.is_dir() and any(path.rglob("*.py")))
        for name, paths in [(room.name, sorted(room.rglob("*.py"))) for room in rooms] + [
            ("(files)", sorted(folder.glob("*.py")))
        ]:
            counted = sum((count(path) for path in paths), Counter[str]())
            whole, files = whole + counted, files + len(paths)
            row(name, len(paths), counted)
        row(f"**{folder.name}**", files, whole)


def count(path: Path) -> Counter[str]:
    """Count the lines of one file by kind; a line of code with a comment is code."""
    text = path.read_text(encoding="utf-8")
    kinds = ["blank" if not line.strip() else "code" for line in text.splitlines()]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            mark(kinds, node, "imports")
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            mark(kinds, node, "docstrings")
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip():
                kinds[token.start[0] - 1] = "comments"
    return Counter(kinds)


def mark(kinds: list[str], node: ast.stmt, kind: str) -> None:
    """Set the kind of a statement's lines."""
    for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
        kinds[line - 1] = kind


def row(name: str, files: int, counted: Counter[str]) -> None:
    """Print one row of the table."""
    print(f"| {name} | {files} | {counted.total():,} | " + " | ".join(f"{counted[kind]:,}" for kind in KINDS) + " |")


if __name__ == "__main__":
    main()
