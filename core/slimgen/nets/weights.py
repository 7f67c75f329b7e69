"""Weights in and out of files."""

import errno
import hashlib
import os
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from slimgen.errors import CheckpointError
from slimgen.files import aside, is_file

Weights = dict[str, Tensor]
_TORCH = (b"PK", b"\x80")
"""How the files begin that `torch.save` writes: a zip archive, or, of old, a pickle."""


def save_weights(path: Path | str, state: Mapping[str, Tensor]) -> None:
    """Writes weights as safetensors: whatever happens, `path` holds either the old ones or the new ones, whole.

    Raises:
        CheckpointError: the file cannot be written, for one because the disk is full.
    """
    path = Path(path)
    # Cloned, for safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in state.items()}
    try:
        with aside(path) as file:
            file.write(save(tensors))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space" if full else "check the folder and its permissions"
        raise CheckpointError(
            f"weights must be written to {path}", error.strerror, f"what was there before is untouched; {advice}"
        ) from error


def require_weights(path: Path | str) -> Path:
    """A file of weights, `~` being the home folder; raises CheckpointError where there is none."""
    found = Path(os.path.expanduser(path))  # unlike pathlib's, this leaves alone a user whom nobody knows
    if not is_file(found):
        raise CheckpointError("weights must be a file", f"{path}, which is not one", "check the path")
    return found


def load_weights(path: Path | str) -> Weights:
    """Reads weights from a safetensors file, or from a torch file without running anything in it.

    A `state_dict` entry is unwrapped and the prefix `module.` of data-parallel training removed.

    Raises:
        CheckpointError: the file is missing, damaged, holds code, or holds something other than named tensors.
    """
    path = require_weights(path)
    content = read_content(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError("a checkpoint must hold named tensors", f"{path.name} with {type(content).__name__}")
    weights: Weights = {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                "a checkpoint must hold named tensors and nothing else",
                f"{path.name} with {name!r}: {type(tensor).__name__}",
                "save the state dict of the network alone",
            )
        weights[name] = tensor.detach()
    if all(name.startswith("module.") for name in weights):
        weights = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    return weights


def read_content(path: Path) -> object:
    """What a file of weights holds: of safetensors, by its content and not its name; else of torch, running nothing.

    Raises:
        CheckpointError: it cannot be read, is damaged, or holds code.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path} must be readable", error.strerror, "check its permissions") from error
    named = path.suffix == ".safetensors" and not head.startswith(_TORCH)
    return _read_safetensors(path) if named or head[8:9] == b"{" else _read_torch(path)


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError("a safetensors file must be whole", f"{path.name}: {error}", "copy it again") from error


def _read_torch(path: Path) -> object:
    try:
        # As an open file, for torch goes by the name of another; its warnings are of kinds that are refused by name.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails anywhere: in zip, in pickle, in the tensors
        named = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if named is not None or "TorchScript" in str(error):
            asks = f"asks for {named[1]}" if named else "is a TorchScript archive"
            raise CheckpointError(
                "weights are loaded from tensors only, and no code of a checkpoint is ever run",
                f"{path.name}, which {asks}",
                "where it was made, save the state dict of the network alone: torch.save(net.state_dict(), FILE), "
                "better still as safetensors",
            ) from error
        got = f"{path.name} of {path.stat().st_size:,} bytes, which cannot be read"
        raise CheckpointError("a torch checkpoint must be whole", got, "copy it again") from error


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes: equal for equal weights, in whatever order they are listed."""
    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu").contiguous()
        sha.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def folded(net: nn.Module) -> nn.Module:
    """A trained network as it is run: without spectral norms where its class `folds` them; else itself."""
    alone: nn.Module = net.folded() if getattr(net, "folds", False) else net  # type: ignore[operator]
    return alone
