"""Tasks own what they know: nothing else names one, and a new one is a file and a line."""

import ast
from pathlib import Path

import pytest

import slimgen
from slimgen.tasks import TASKS
from slimgen.tasks.embedded import NAME

PACKAGE = Path(slimgen.__file__).parent
CLASSES = {place.partition(":")[2] for place in TASKS.values()}
MODULES = {place.partition(":")[0] for place in TASKS.values()}
OUTSIDE = sorted(path for path in PACKAGE.rglob("*.py") if PACKAGE / "tasks" not in path.parents)
FIELD = "embedded: Literal['townhouses'] | None"
"""The field of a recipe that asks for the embedded set, whatever its default and description."""


def named(source: str) -> list[str]:
    """Return the places where a module names a task or the embedded set, except docstrings and keys of records."""
    found: list[str] = []
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    prose |= {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args
    }
    allowed = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}" == FIELD
        for part in ast.walk(node.annotation)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in prose | allowed and node.value in {*TASKS, NAME}:
            found.append(f"line {node.lineno}: {node.value!r}")
        elif isinstance(node, ast.ImportFrom) and (node.module in MODULES or node.module == NAME):
            found.append(f"line {node.lineno}: from {node.module}")
        elif isinstance(node, ast.Name) and node.id in CLASSES:
            found.append(f"line {node.lineno}: {node.id}")
        elif isinstance(node, ast.Compare) and any(
            isinstance(side, ast.Attribute) and ast.unparse(side).endswith("recipe.task")
            for side in (node.left, *node.comparators)
        ):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_outside_tasks_names_a_task(path: Path) -> None:
    assert named(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "if kind == 'unpaired': pass",
        "x = {'labels': 1}",
        "from slimgen.tasks.paired import Paired",
        "from townhouses import write",
        "y = name.startswith('townhouses')",
        "if recipe.task != other: pass",
        "assert isinstance(job.task, Unconditional)",
    ],
)
def test_code_that_names_a_task_is_found(source: str) -> None:
    assert named(source)
    assert named(f'"""A docstring may say unpaired."""\nembedded: Literal["townhouses"] | None = None\n{source}')


def test_docstrings_and_the_recipes_field_may_name_a_task() -> None:
    assert (
        named('"""labels"""\nclass Data:\n    """townhouses"""\n    embedded: Literal["townhouses"] | None = None\n')
        == []
    )
