"""A cache of measured values: one line of JSON each, with a key of everything that the values depend on."""

import json
import os
from pathlib import Path

Key = tuple[str, str, str]


class Cache:
    """Measured values in an append-only file of JSON lines.

    Several processes may write to it: each line is appended in one piece, and the next `get` reads the others' lines. A
    line torn by a killed process is skipped. Floats are restored bit for bit, including infinities. The file and its
    folder are created with the first value.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[Key, dict[str, float]] = {}
        self._read = 0
        self._refresh()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, genotype: str, supernet: str, protocol: str) -> dict[str, float] | None:
        """Return the values of a genotype (key) with a supernet (digest) by a protocol; None if there are none."""
        key = (genotype, supernet, protocol)
        if key not in self._values:
            self._refresh()
        return dict(self._values[key]) if key in self._values else None

    def put(self, genotype: str, supernet: str, protocol: str, values: dict[str, float]) -> None:
        """Store measured values; for the key see `get`."""
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
        """Read the complete lines that were added since the last call."""
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
