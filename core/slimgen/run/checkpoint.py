"""Checkpoints that survive a kill, a full disk and a flipped bit."""

import hashlib
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch

from slimgen.errors import CheckpointError
from slimgen.files import SUFFIX, aside, sha256_file

# The content's digest is in the name: file and checksum appear in one rename, and torch.load reads the file as it is.
NAME = re.compile(r"step-(?P<step>\d+)-(?P<of>[0-9a-f]{12})-(?P<digest>[0-9a-f]{64})\.pt")
PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.Size, torch.dtype, torch.device)
UNREADABLE = (OSError, RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError, pickle.UnpicklingError)


class _Saved(NamedTuple):
    step: int
    digest: str
    path: Path


class Checkpoints:
    """The two newest checkpoints of one computation, in a separate folder that the first save creates.

    The fingerprint stands for everything that the computation depends on; checkpoints of another one are ignored.
    `warn` is called with one line for each damaged checkpoint that is skipped.
    """

    def __init__(self, folder: Path | str, fingerprint: str, warn: Callable[[str], None] = print) -> None:
        self.folder, self.fingerprint, self.warn = Path(folder), fingerprint, warn
        self._of = hashlib.sha256(fingerprint.encode()).hexdigest()[:12]

    def save(self, step: int, state: Mapping[str, object]) -> Path:
        """Save a state (tensors and plain data, nested to any depth) in a file, then remove all but the newest two.

        Checkpoints of later steps are removed too: they are left from before a damaged checkpoint was skipped. A step
        is an update, a round or any other count of the computation.

        Raises:
            CheckpointError: the file cannot be written (full disk); earlier checkpoints are unchanged.
            TypeError: the state holds something that loading would refuse.
        """
        if step < 0:
            raise ValueError(f"step must be at least 0; got {step}.")
        _check_plain(dict(state), "state")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with aside(self.folder / f"step-{step:09d}") as file:
                torch.save({"step": step, "fingerprint": self.fingerprint, "state": dict(state)}, file)  # type: ignore[arg-type]
                path = self.folder / f"step-{step:09d}-{self._of}-{file.digest.hexdigest()}.pt"
                file.destination = path
            older = [saved.path for saved in self._saved() if saved.step < step]
            for saved in self._saved():
                if saved.path not in (path, *older[:1]):
                    saved.path.unlink(missing_ok=True)
        except OSError as error:
            before = [saved.step for saved in self._saved()]
            rest = f"; the checkpoint of step {before[0]} is intact" if before else ""
            hint = f"free some space and run the same command again{rest}"
            raise CheckpointError(f"cannot write a checkpoint to {self.folder}", error, hint) from error
        return path

    def load(self) -> tuple[int, dict[str, object]] | None:
        """Return step and state of the newest intact checkpoint with this fingerprint, on the CPU; None without one."""
        for saved in self._saved():
            try:
                if sha256_file(saved.path) != saved.digest:
                    raise RuntimeError("its checksum differs")
                content = torch.load(saved.path, map_location="cpu", weights_only=True)
                step, owner, state = content["step"], content["fingerprint"], content["state"]
            except UNREADABLE as error:
                reason = " ".join(str(error).split())[:120] or type(error).__name__
                self.warn(f"checkpoint {saved.path.name[:14]} is damaged ({reason}); trying the one before it.")
                continue
            if owner == self.fingerprint:
                return int(step), state
        return None

    def clear(self) -> None:
        """Remove every checkpoint, of any fingerprint, and the folder if it is then empty."""
        self._sweep()
        for path in _files(self.folder):
            if NAME.fullmatch(path.name):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _saved(self) -> list[_Saved]:
        """Return the checkpoints of this fingerprint, newest first."""
        matches = [(path, NAME.fullmatch(path.name)) for path in _files(self.folder)]
        saved = [_Saved(int(m["step"]), m["digest"], path) for path, m in matches if m and m["of"] == self._of]
        return sorted(saved, reverse=True)

    def _sweep(self) -> None:
        """Remove temporary files of a killed process, which may fill the disk."""
        for path in _files(self.folder):
            if path.name.startswith("step-") and path.name.endswith(SUFFIX):
                path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _check_plain(value: object, where: str) -> None:
    """Refuse to save what `torch.load(weights_only=True)` would refuse to load."""
    if isinstance(value, torch.Tensor) or type(value) in PLAIN:
        return
    if type(value) in (dict, OrderedDict):
        for key, item in value.items():  # type: ignore[attr-defined]
            _check_plain(key, f"a key of {where}")
            _check_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple, set):
        for index, item in enumerate(value):  # type: ignore[arg-type]
            _check_plain(item, f"{where}[{index}]")
    else:
        raise TypeError(f"a checkpoint must hold tensors and plain data; got a {type(value).__name__} as {where}.")
