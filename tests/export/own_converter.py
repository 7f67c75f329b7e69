"""A converter to onnxruntime itself, which runs in this Python, with a place for what goes wrong."""

import sys
from pathlib import Path

import pytest

from slimgen.export.converting import Target, environments, running

CONVERTER = """
import os, signal, sys
import numpy
from converters.job import Variant, onnxruntime_of, perform

def convert(job):
    call = onnxruntime_of(job)
    (job.out / f"{job.stem}.bin").write_bytes(job.graph.read_bytes())
    print("converting", job.calibration.shape)
    WRONG
    return [Variant("fp32", [f"{job.stem}.bin"], "input a, output b", call)]

perform(convert)
"""


def use(folder: Path, monkeypatch: pytest.MonkeyPatch, wrong: str = "") -> None:
    """Let every conversion from now on be done by this converter, in a process of its own."""
    script = folder / "converter.py"
    script.write_text(CONVERTER.replace("WRONG", wrong))

    def here(python: Path, target: Target, job: Path) -> tuple[list[str], dict[str, str]]:
        command, more = environments.conversion(python, target, job)
        return [sys.executable, str(script), command[-1]], more

    monkeypatch.setattr(running, "conversion", here)
