"""The files of measured figures: one JSON file per benchmark, with the machine they were measured on."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from slimgen.device import choose
from slimgen.run.record import machine, versions

RESULTS = Path(__file__).parent / "results"


def save(name: str, values: Mapping[str, Any]) -> Path:
    """Write a benchmark's figures, its command line, the machine and the versions; return the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    module = Path(sys.argv[0])
    command = " ".join(["python -m", f"benchmarks.{module.stem}", *sys.argv[1:]])
    about = {"command": command, "compute": str(choose()), "machine": machine(), "versions": versions()}
    path.write_text(json.dumps({**about, **values}, indent=1) + "\n")
    return path


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean as text, with the standard deviation where there are several values."""
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")
