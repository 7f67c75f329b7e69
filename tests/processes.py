"""The command `slimgen` in processes forked from one that has imported everything, so that each starts at once.

Starting Python and importing torch takes seconds of each process, and nothing is learned from it: what a process that
starts anew does is in tests/cli and tests/pipelines.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

STAGES = ("prepare", "teach", "supernet", "search", "finetune", "evaluate", "export")
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "__main__",
        "torch._dynamo",
        "matplotlib.backends.backend_agg",
        "slimgen.cli.app",
        "slimgen.stages.perform",
        *(f"slimgen.stages.bodies.{stage}" for stage in STAGES),
        *(f"slimgen.methods.{method}" for method in ("cf_gan", "co_evolution")),
    ]
)
_HOME = tempfile.TemporaryDirectory(prefix="said-")


class Command:
    """The command `slimgen` at work, with these words and variables of the environment."""

    def __init__(self, words: Sequence[str], **environment: str) -> None:
        handle, self._said = tempfile.mkstemp(dir=_HOME.name)
        os.close(handle)
        around = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self._process = _CONTEXT.Process(target=_slimgen, args=([*words], around, self._said), daemon=True)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None where it is at work."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for its end, so long at most; return what `poll` does."""
        self._process.join(seconds)
        return self.poll()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def said(self) -> str:
        """Return what it has printed so far."""
        return Path(self._said).read_text()


def finished(words: Sequence[str], watch: Callable[[], object] = lambda: None, **environment: str) -> None:
    """Run a command to its end, and fail where that is not a good one; what watches is called all the while."""
    process = Command(words, **environment)
    while process.wait(0.005) is None:
        watch()
    assert process.poll() == 0, process.said()


def killed_when(processes: Sequence[Command], there: Callable[[], bool]) -> None:
    """Send SIGKILL to all as soon as something is so, and make sure that it still is when the signal arrives."""
    deadline = time.monotonic() + 120
    try:
        while True:
            for process in processes:
                assert process.poll() is None, process.said()
            assert time.monotonic() < deadline
            if there():
                for process in processes:
                    process.send(signal.SIGSTOP)
                if there():
                    break
                for process in processes:
                    process.send(signal.SIGCONT)
            time.sleep(0.005)
    finally:
        for process in processes:
            if process.poll() is None:
                process.send(signal.SIGKILL)
        for process in processes:
            process.wait()
    assert {process.poll() for process in processes} == {-signal.SIGKILL}


def ranks(words: Sequence[str], port: int) -> list[Command]:
    """Start a command in two processes that work together, as torchrun starts them."""
    about = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [Command(words, **about, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]


def free_port() -> int:
    """Return a port that nobody listens at."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _slimgen(words: list[str], environment: dict[str, str], said: str) -> None:
    handle = os.open(said, os.O_WRONLY | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["slimgen", *words]
    from slimgen.cli import main

    main()
