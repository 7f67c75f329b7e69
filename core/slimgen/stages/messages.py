"""Messages in code: texts that a person reads and no result depends on."""

import ast
from collections.abc import Iterator
from typing import TypeGuard


def message_of(node: ast.AST) -> str:
    """Return the class of error that a statement raises with a message, or nothing for any other syntax."""
    if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
        return ""
    raised = ast.unparse(node.exc.func)
    return raised if raised.endswith(("Error", "Rejected")) else ""


def without_messages(tree: ast.Module) -> ast.Module:
    """Remove, in place, the texts that are only used in messages, and return the tree.

    These are descriptions of pydantic fields, and strings of local names that are read only in raise statements.
    """
    for statement in _statements(tree):
        if isinstance(statement, ast.FunctionDef):
            _blank(statement)
        elif isinstance(statement, ast.AnnAssign) and _is_field(statement.value):
            statement.value.keywords = [one for one in statement.value.keywords if one.arg != "description"]
    return tree


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every statement in a piece of syntax; expressions, the larger part of it, are not looked into."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        part = getattr(node, name, ())
        for statement in part if isinstance(part, list) else ():
            yield statement
            yield from _statements(statement)


def _blank(function: ast.FunctionDef) -> None:
    """Empty the strings that a function assigns to names for its error messages."""
    assigned = [one for one in _statements(function) if isinstance(one, ast.Assign) and _is_string(one.value)]
    if not assigned:
        return
    read = _names_read(function)
    for one in assigned:
        if all(isinstance(target, ast.Name) and target.id not in read for target in one.targets):
            one.value = ast.Constant("")


def _is_field(node: ast.AST | None) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field"


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _names_read(node: ast.AST) -> set[str]:
    """Return the names that are read outside messages, or shared with another scope."""
    if message_of(node):
        return set()
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Load) else set()
    if isinstance(node, ast.Global | ast.Nonlocal):
        return set(node.names)
    if isinstance(node, ast.ClassDef):  # its attributes are read through it
        return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return set().union(*map(_names_read, ast.iter_child_nodes(node)))
