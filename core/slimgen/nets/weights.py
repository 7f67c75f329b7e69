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
"""The first bytes of files that `torch.save` writes: a zip archive or, in old versions, a pickle."""


def save_weights(path: Path | str, state: Mapping[str, Tensor]) -> None:
    """Write weights as safetensors; `path` holds either the old file or the new one, never a torn one.

    Raises:
        CheckpointError: the file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    # Cloned because safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in state.items()}
    try:
        with aside(path) as file:
            file.write(save(tensors))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space" if full else "check the folder and its permissions"
        raise CheckpointError(
            f"cannot write weights to {path}", error.strerror, f"the file there is unchanged; {advice}"
        ) from error


def require_weights(path: Path | str) -> Path:
    """Return the path of a file of weights, `~` expanded; raise CheckpointError where there is no such file."""
    found = Path(os.path.expanduser(path))  # unlike pathlib's, this leaves an unknown user's ~ as it is
    if not is_file(found):
        raise CheckpointError(f"no file of weights at {path}", None, "check the path")
    return found


def load_weights(path: Path | str) -> Weights:
    """Read weights from a safetensors file, or from a torch file without running any code in it.

    An entry `state_dict` is unwrapped, and the prefix `module.` of data-parallel training is removed.

    Raises:
        CheckpointError: the file is missing or damaged, holds code, or holds anything but named tensors.
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
    """Read a file of weights: safetensors, recognised by its content, or torch, without running any code in it.

    Raises:
        CheckpointError: the file cannot be read, is damaged, or holds code.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}", error.strerror, "check its permissions") from error
    named = path.suffix == ".safetensors" and not head.startswith(_TORCH)
    return _read_safetensors(path) if named or head[8:9] == b"{" else _read_torch(path)


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"cannot read the safetensors file {path.name}", str(error), "copy it again") from error


def _read_torch(path: Path) -> object:
    try:
        # An open file: given a path, torch judges by its name. Its warnings concern content that is refused below.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may fail in the zip archive, the pickle or the tensors
        named = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if named is not None or "TorchScript" in str(error):
            asks = f"asks for {named[1]}" if named else "is a TorchScript archive"
            raise CheckpointError(
                "a checkpoint must hold tensors only: code in it is never run",
                f"{path.name}, which {asks}",
                "where it was made, save only the network's state dict: torch.save(net.state_dict(), FILE), "
                "or better as safetensors",
            ) from error
        got = f"{path.stat().st_size:,} bytes that are damaged or incomplete"
        raise CheckpointError(f"cannot read the torch checkpoint {path.name}", got, "copy it again") from error


def digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes: equal for equal weights, in any order."""
    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu").contiguous()
        sha.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def folded(net: nn.Module) -> nn.Module:
    """Return a trained network for inference: without spectral norms where its class `folds` them, else unchanged."""
    alone: nn.Module = net.folded() if getattr(net, "folds", False) else net  # type: ignore[operator]
    return alone
