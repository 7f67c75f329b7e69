"""Log with one JSON object per line: measured values, step by step."""

import json
import os
from pathlib import Path
from typing import IO, Self

from slimgen.errors import RunError
from slimgen.files import plain, write_lines


class Log:
    """Lines of JSON in a file, which is created with its folder at the first line and survives the process."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: IO[bytes] | None = None

    def log(self, *, step: int, **values: object) -> None:
        """Append one line: the step and its values, with NaN and infinity as null.

        Raises:
            RunError: the disk is full; earlier lines are intact.
        """
        text = json.dumps(plain({"step": step, **values}), ensure_ascii=False, allow_nan=False) + "\n"
        line = text.encode(errors="surrogatepass")
        try:
            if self._file is None:
                self._file = self._open()
            end = self._file.seek(0, os.SEEK_END)
            if self._file.write(line) != len(line):
                self._file.truncate(end)
                raise OSError("the line does not fit on the disk")
        except OSError as error:
            hint = "free some space and run the same command again"
            raise RunError(f"cannot write {self.path.name}", error, hint) from error

    def read(self) -> list[dict[str, object]]:
        """Return every whole line, oldest first; skip damaged lines."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        found = []
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                found.append(value)
        return found

    def truncate_after(self, step: int) -> None:
        """Drop a torn last line and the lines of later steps, which a computation resumed at `step` writes again."""
        self.close()
        if not self.path.exists():
            return
        lines = [line for line in self.read() if not (isinstance(at := line.get("step"), int) and at > step)]
        write_lines(self.path, lines)

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> IO[bytes]:
        """Open the file for appending, after cutting off a torn last line of a killed process."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: each line is one write, so it is with the operating system when log() returns.
        file = open(self.path, "a+b", buffering=0)  # noqa: SIM115 - kept open between lines
        file.truncate(self.path.read_bytes().rfind(b"\n") + 1)
        return file
