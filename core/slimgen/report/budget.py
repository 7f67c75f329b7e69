"""The found generator's costs beside the limits of its budget."""

from collections.abc import Mapping
from pathlib import Path

from slimgen.files import GENOTYPE, REVERSE, read_json
from slimgen.report.table import Table, TableRow
from slimgen.report.words import size
from slimgen.text import amount

KINDS = {"macs": "MACs", "params": "parameters", "bytes": "of weights", "latency_ms": "ms"}


def shown(kind: str, value: float) -> str:
    """Return a cost, or a limit of one, in its largest unit."""
    if kind == "latency_ms":
        return f"{value:.3g}"
    return size(value) if kind == "bytes" else amount(value)


def limits_words(limits: Mapping[str, float]) -> str:
    """Return the limits of a budget: `70.9 M MACs, 2.67 MiB of weights`; `none` without any."""
    return ", ".join(f"{shown(kind, limits[kind])} {unit}" for kind, unit in KINDS.items() if kind in limits) or "none"


def spent(costs: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """Return the costs beside their limits, and whether all are kept: `70.1 M of 70.9 M MACs, 89 k parameters; ...`."""
    words = []
    for kind, unit in KINDS.items():
        if kind in costs and kind in limits:
            words.append(f"{shown(kind, costs[kind])} of {shown(kind, limits[kind])} {unit}")
        elif kind in costs and kind in ("macs", "params"):
            words.append(f"{shown(kind, costs[kind])} {unit}")
    over = [KINDS[kind] for kind, most in limits.items() if costs.get(kind, 0.0) > most]
    kept = f"budget NOT kept: too many {', '.join(over)}" if over else "budget kept" if limits else "no budget"
    return f"{', '.join(words)}; {kept}"


def budget_notes(table: Table, run: Path) -> tuple[str, ...]:
    """Return a sentence for each found generator of a run with a budget: its costs, and whether they are within."""
    winner = read_json(run / "search" / GENOTYPE)
    limits = winner.get("limits") if isinstance(winner, Mapping) else None
    rows = {row.name: row for row in table.rows}
    found = [rows[name] for name in ("found", f"found{REVERSE}") if name in rows]
    return tuple(f"{row.name}: {spent(_costs(row, table.convention), limits)}." for row in found) if limits else ()


def _costs(row: TableRow, convention: str) -> dict[str, float]:
    costs = {"macs": row.macs.get(convention), "params": row.params, "bytes": row.bytes, "latency_ms": row.p50_ms}
    return {kind: float(value) for kind, value in costs.items() if value is not None}
