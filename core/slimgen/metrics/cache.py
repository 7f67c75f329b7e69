"""Values that were measured once are not measured again: one line of JSON each, keyed by all they depend on."""

import json
import os
from pathlib import Path

Key = tuple[str, str, str]


class Cache:
    """Measured values in a file of JSON lines that only ever grows.

    Several processes may write to it: each line is appended in one piece, and what others wrote is seen at the next
    question. A line torn by a killed process is skipped. Floats come back bit for bit, infinities included.
    The file and its folder are made with the first value.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[Key, dict[str, float]] = {}
        self._read = 0
        self._refresh()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, genotype: str, supernet: str, protocol: str) -> dict[str, float] | None:
        """What was measured by a protocol of a genotype, by its key, with the weights of a digest; None if nothing."""
        key = (genotype, supernet, protocol)
        if key not in self._values:
            self._refresh()
        return dict(self._values[key]) if key in self._values else None

    def put(self, genotype: str, supernet: str, protocol: str, values: dict[str, float]) -> None:
        """Keeps what was measured, under the key that `get` asks with."""
        self._values[genotype, supernet, protocol] = dict(values)
        record = {"genotype": genotype, "supernet": supernet, "protocol": protocol, "values": values}
        line = json.dumps(record) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                line = "\n" + line
            os.write(file, line.encode())
        finally:
            os.close(file)

    def _refresh(self) -> None:
        """Reads the whole lines that were added since the last look."""
        if not self.path.exists() or self.path.stat().st_size <= self._read:
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if not whole:
            return
        self._read += len(whole) + 1
        for line in whole.split(b"\n"):
            try:
                record = json.loads(line)
                key = (str(record["genotype"]), str(record["supernet"]), str(record["protocol"]))
                self._values[key] = {str(name): float(value) for name, value in record["values"].items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
