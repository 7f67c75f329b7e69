"""Output of a pipeline on this machine without what Kubeflow's executor says to itself."""

import io
import re
from typing import TextIO

NOISE = re.compile(r"\[KFP Executor|Task .* outputs:|^\s*\w+: \w+\(\s|^\s*[{\[]\s*$")
"""First lines of what is left out: messages of the executor, its input as JSON, and the artifacts of a task."""
OPEN, CLOSE = "([{", ")]}"


class Condensed(io.TextIOBase):
    """Text stream that passes lines on, but for the executor's, which it writes to a log alone.

    Args:
        shown: where lines go.
        log: where every line goes.
    """

    def __init__(self, shown: TextIO, log: TextIO) -> None:
        self.shown, self.log = shown, log
        self._line, self._depth = "", 0

    def write(self, text: str) -> int:
        """Take text; what ends in the middle of a line waits for the rest of it."""
        self.log.write(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if not self._left_out(line):
                self.shown.write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        """Flush both streams."""
        self.shown.flush()
        self.log.flush()

    def _left_out(self, line: str) -> bool:
        """Whether a line is empty, or belongs to a message of the executor, which ends where its brackets close."""
        if self._depth <= 0 and not NOISE.search(line):
            return not line.strip()
        self._depth += sum(line.count(mark) for mark in OPEN) - sum(line.count(mark) for mark in CLOSE)
        return True
