"""Weights in and out of files, and from the naming of published checkpoints into a network's own."""

import errno
import hashlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from slimgen.errors import CheckpointError
from slimgen.files import aside

Weights = dict[str, Tensor]


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
    """A file of weights; raises CheckpointError where there is none."""
    if not Path(path).is_file():
        raise CheckpointError("weights must be a file", f"{path}, which is not one", "check the path")
    return Path(path)


def load_weights(path: Path | str) -> Weights:
    """Reads weights from a safetensors file, or from a torch file without running anything in it.

    A `state_dict` entry is unwrapped and the prefix `module.` of data-parallel training removed.

    Raises:
        CheckpointError: the file is missing, damaged, holds code, or holds something other than named tensors.
    """
    path = require_weights(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
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


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError("a safetensors file must be whole", f"{path.name}: {error}", "copy it again") from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails anywhere: in zip, in pickle, in the tensors
        named = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if named is not None:
            raise CheckpointError(
                "weights are loaded from tensors only, and no code of a checkpoint is ever run",
                f"{path.name}, which asks for {named[1]}",
                "save the state dict of the network alone, better still as safetensors",
            ) from error
        got = f"{path.name} of {path.stat().st_size:,} bytes, which cannot be read"
        raise CheckpointError("a torch checkpoint must be whole", got, "copy it again") from error


def import_generator(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads a published checkpoint of pix2pix or CycleGAN into a network, all of it or nothing.

    Understood are residual blocks saved with or without dropout (their second convolution is `conv_block.6` or
    `conv_block.5`), and running statistics that InstanceNorms of old versions saved and never used.

    Raises:
        CheckpointError: the checkpoint is of another network; the message names the first difference.
    """
    expected = net.state_dict()
    found = {name: tensor for name, tensor in _renamed(state, expected).items() if not _idle(name, expected)}
    if got := _difference(expected, found):
        raise CheckpointError("the checkpoint must be of the same network", *got)
    net.load_state_dict({**expected, **found})


def _renamed(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Weights:
    """The checkpoint with its residual blocks numbered as the network numbers them."""
    given, wanted = (
        any(re.search(r"conv_block\.6\.(conv\.\d\.)?weight$", name) for name in names) for names in (state, expected)
    )
    if given == wanted:
        return dict(state)
    shift = -1 if given else 1  # of all that comes after the ReLU, where dropout is or is not

    def number(match: re.Match[str]) -> str:
        at = int(match[1])
        return f"conv_block.{at + shift if at > 3 else at}."

    return {re.sub(r"conv_block\.(\d+)\.", number, name): tensor for name, tensor in state.items()}


def _idle(name: str, expected: Mapping[str, Tensor]) -> bool:
    """Whether this is a running statistic of a norm that, in the network, keeps none and learns nothing."""
    owner, _, leaf = name.rpartition(".")
    statistic = leaf in ("running_mean", "running_var", "num_batches_tracked")
    return statistic and name not in expected and f"{owner}.weight" not in expected


def _difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """The first difference in the network's own order, with what it most likely comes from."""
    absent = [name for name in expected if name not in found and not name.endswith("num_batches_tracked")]
    differing = [name for name in expected if name in found and found[name].shape != expected[name].shape]
    surplus = [name for name in found if name not in expected]
    if not (absent or differing or surplus):
        return None
    stem = next((name for name, tensor in expected.items() if tensor.dim() == 4), None)
    if stem in differing:
        for axis, noun in ((0, "base width (ngf or ndf)"), (1, "input channels")):
            want, have = expected[stem].shape[axis], found[stem].shape[axis]
            if want != have:
                return f"{noun} {have} in {stem}", f"{noun} {want} expected, {have} found"
    blocks, blocks_found = (sum(name.endswith("conv_block.1.weight") for name in names) for names in (expected, found))
    if blocks != blocks_found:
        return f"{blocks_found} residual blocks", f"blocks {blocks} expected, {blocks_found} found"
    if differing:
        name = differing[0]
        shapes = f"{tuple(expected[name].shape)} expected, {tuple(found[name].shape)} found"
        return f"another shape of {name}", shapes
    if absent:
        return f"no {absent[0]} ({len(absent)} names missing)", "check the network and its norm"
    return f"an unknown {surplus[0]} ({len(surplus)} such names)", "check the network and its norm"


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
