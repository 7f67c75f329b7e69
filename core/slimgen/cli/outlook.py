"""What `slimgen run --dry-run` prints."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from slimgen.cli.options import print_json

if TYPE_CHECKING:
    from slimgen.stages.preview import Outlook


def show(outlook: "Outlook", as_json: bool) -> None:
    """The recipe, the stages, what they need, and the space; as lines, or as JSON."""
    if as_json:
        print_json(asdict(outlook))
        return
    import yaml

    typer.echo(yaml.safe_dump(dict(outlook.recipe), sort_keys=False, width=110))
    for line in _lines(outlook):
        typer.echo(line)


def _lines(outlook: "Outlook") -> Iterator[str]:
    from slimgen.report.words import amount
    from slimgen.report.words import size as filesize

    yield f"{'stage':<10}{'updates':>12}{'MACs':>10}{'disk':>10}   state"
    for name, state in outlook.stages.items():
        expense = outlook.expenses[name]
        updates = "-" if expense.updates is None else f"{expense.updates:,}"
        disk = "-" if expense.bytes is None else filesize(expense.bytes)
        yield f"{name:<10}{updates:>12}{amount(expense.macs):>10}{disk:>10}   {state}"
    yield from (f"note: {note}" for note in outlook.notes)
    for name, fault in outlook.wanted.items():
        yield f"needs {name}: {fault or 'there'}"
    limits = ", ".join(f"{name} {amount(most)}" for name, most in outlook.budget.items())
    yield f"budget: {limits or 'none'}"
    if space := outlook.space:
        size, within = (f"{one:,}" if isinstance(one, int) else one for one in (space["genotypes"], space["within"]))
        yield f"space: {size} genotypes, {within} within the budget ({space['how']})"
        yield f"search: at most {outlook.evaluations:,} evaluations"
