"""Error for one file that cannot be used."""

from pathlib import Path

from slimgen.errors import DataError


class Rejected(DataError):  # noqa: N818 - read as `except Rejected`: a verdict on the file
    """Image that cannot be used. `reason` continues a sentence that begins with the file's name."""

    def __init__(self, path: Path, reason: str, hint: str | None = None) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}", hint=hint)
