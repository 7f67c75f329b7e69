"""Processes of slimgen that die on purpose: at a random moment, or just before a step that was aimed at."""

import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimgen.stages.table import STAGES

CALLS = ("rename", "replace", "unlink", "mkdir", "rmdir", "link")
"""The steps by which results appear."""
ANYWHERE, STEP, ASIDE, RIVAL = "anywhere", "a rename or the like", "a result moved aside", "a rival's training"
MAKING, STORE = "MLflow's first seconds", "a write to MLflow"
AIMED = (STEP, ASIDE, RIVAL, MAKING, STORE)
_RIVALS = re.compile(r"/finetune[^/]*/(checkpoints/)?(narrowed|by_hand|naive|random|halving)")
_PATIENCE = 120.0
"""Seconds within which a process that was sent SIGTERM must have ended."""


@dataclass(frozen=True)
class Aim:
    """How a process dies: by which signal, and before which of the steps of a kind or after how many seconds."""

    kind: str = ANYWHERE
    number: int = 0
    seconds: float | None = None
    by: signal.Signals = signal.SIGKILL


def kinds(call: str, places: Sequence[str]) -> set[str]:
    """What a step is, by its call and its paths: each kind that it counts for."""
    where = " ".join(places)
    if "/mlflow.db" in where or "/mlartifacts" in where or "/.mlflow.db" in where:
        return {STORE}
    found = {STEP} | {stage for stage in STAGES if f"/{stage}" in where}
    if call == "rename":
        found.add(ASIDE)
    if _RIVALS.search(where):
        found.add(RIVAL)
    return found


def warm_up() -> None:
    """Import all that a run needs, so that its processes are forked from this one and not started anew each time."""
    from importlib import import_module

    from slimgen.cli import app  # noqa: F401
    from slimgen.methods import METHODS, open_method
    from slimgen.run.store import load_mlflow

    for module in ("onnx", "onnxruntime", "onnxscript", "matplotlib.pyplot", "slimgen.stages.perform"):
        import_module(module)
    for method in METHODS:
        open_method(method)
    for stage in STAGES:
        import_module(f"slimgen.stages.bodies.{stage}")
    load_mlflow()


def fork(words: Sequence[str], environment: Mapping[str, str], said: Path, aim: Aim, counted: Path) -> int:
    """Start the command `slimgen` with these words in a session of its own; return its process id.

    What it says is added to the file `said`; how many steps it took of each kind, where it ended by itself, is written
    to `counted`.
    """
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.environ.update(environment)
        sys.argv = ["slimgen", *words]
        os._exit(_run(aim, counted))
    finally:
        os._exit(70)


def _run(aim: Aim, counted: Path) -> int:
    """Run the command in this process, and die on the way if that is aimed at; return the exit status."""
    steps: Counter[str] = Counter()

    def dying(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            found = kinds(name, [str(one) for one in arguments if isinstance(one, str | os.PathLike)])
            steps.update(found)
            if aim.kind in found and steps[aim.kind] == aim.number:
                os.kill(0 if aim.by == signal.SIGKILL else os.getpid(), aim.by)
            return call(*arguments, **options)

        return step

    for name in CALLS:
        setattr(os, name, dying(name, getattr(os, name)))
    from slimgen.cli import main

    status = 1
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    counted.write_text(repr(dict(steps)))
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def wait(process: int, seconds: float | None = None) -> int | None:
    """Wait for a process to end; return its exit status, negative for a signal, or None where it is still at work."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG if end is not None else 0)
        if found:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() >= end:
            return None
        time.sleep(0.01)


def kill(process: int, with_all: bool = True) -> None:
    """Send SIGKILL to a process, or to its whole session, and wait for its end."""
    os.killpg(process, signal.SIGKILL) if with_all else os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def die(process: int, aim: Aim, store: Path, rng: random.Random) -> int:
    """Wait until a process has died as aimed, or ended by itself; return its exit status, negative for a signal."""
    status, seconds = None, aim.seconds
    if aim.kind == MAKING:
        while status is None and not any(store.parent.glob(f".{store.name}.*")):
            status = wait(process, 0.02)
        seconds = rng.uniform(0.0, 1.5)
    if status is None:
        status = wait(process, seconds)
    if status is None:
        kill(process)
        return -signal.SIGKILL
    return status


def gone(session: int, seconds: float = _PATIENCE) -> bool:
    """Whether every process of a session ends within some seconds."""
    end = time.monotonic() + seconds
    while any(True for _ in _members(session)):
        if time.monotonic() >= end:
            return False
        time.sleep(0.1)
    return True


def _members(session: int) -> list[int]:
    """The processes of a session, as Linux lists them, besides those that only wait to be collected."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                found.append(int(entry.name))
    return found


def children(process: int) -> list[int]:
    """The processes that a process started, as Linux lists them."""
    with suppress(OSError):
        lists = Path(f"/proc/{process}/task").glob("*/children")
        return [int(child) for one in lists for child in one.read_text(encoding="ascii").split()]
    return []
