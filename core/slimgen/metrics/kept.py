"""Arrays kept between processes, in files that are complete or absent."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy
import torch
from torch import Tensor


def save_arrays(path: Path, arrays: Mapping[str, Tensor]) -> None:
    """Writes tensors by name, aside and then renamed; makes the folder."""
    buffer = io.BytesIO()
    numpy.savez(buffer, allow_pickle=False, **{name: array.cpu().numpy() for name, array in arrays.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(buffer.getvalue())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def load_arrays(path: Path, device: torch.device) -> dict[str, Tensor] | None:
    """Reads what `save_arrays` wrote; None where there is no such file or a damaged one."""
    if not path.is_file():
        return None
    try:
        # Opened here: numpy leaves a damaged file open.
        with path.open("rb") as file, numpy.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]).to(device) for name in arrays.files}
    # A damaged archive may fail in any layer: zip, its checksum, the array's header, the keys.
    except Exception:
        return None
