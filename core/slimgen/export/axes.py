"""Axes of an exported file in words: a variable axis's expression as text."""

import ast
import operator
from collections.abc import Callable, Mapping

OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
LENGTHS = range(1, 258)
"""Input lengths at which an expression is compared with its wording."""
STEPS = (2, 4, 8, 16, 32, 64, 128, 256)


def in_words(axis: int | str, multiple: int = 1) -> str:
    """Return an axis in words, such as `height rounded up to a multiple of 4`, or its expression if no words fit."""
    expression = str(axis).replace(" ", "")
    name = next((name for name in ("height", "width") if name in expression), None)
    if name is None or expression == name:
        return expression
    try:
        possible = [multiple * length for length in LENGTHS]
        lengths = [_value(ast.parse(expression, mode="eval").body, {name: length}) for length in possible]
    except (SyntaxError, KeyError, TypeError, ZeroDivisionError):
        return expression
    for times in (1, *STEPS):
        words = name if times == 1 else f"{times} times {name}"
        for step in (1, *STEPS):
            if lengths == [times * step * -(-length // step) for length in possible]:
                return words if step == 1 else f"{words} rounded up to a multiple of {step}"
    return expression


def _value(node: ast.expr, known: Mapping[str, int]) -> int:
    """Return the value of an expression of whole numbers and names; TypeError for any other kind of expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        return known[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, known)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_value(node.left, known), _value(node.right, known))
    raise TypeError(ast.dump(node))
