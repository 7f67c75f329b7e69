"""Family and options of a published network, read from the names and shapes of its weights.

A family adds its reader to `READERS`, the name of its first weight and a function of one line or ten.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from slimgen.errors import CheckpointError
from slimgen.nets import build_discriminator, build_generator
from slimgen.nets.checkpoints.choosing import import_weights, tables, under
from slimgen.nets.checkpoints.parts import parts_of
from slimgen.nets.weights import read_content, require_weights

Shapes = Mapping[str, tuple[int, ...]]
"""The weights of a network by name, each with its shape."""


class Reader(NamedTuple):
    """How a family is recognised.

    Attributes:
        first: the name of the weight that every network of the family has first.
        options: the shapes of a network's weights to its options; None where it is of another family.
    """

    first: str
    options: Callable[[Shapes], dict[str, Any] | None]


def _resnet(shapes: Shapes) -> dict[str, Any] | None:
    """Read junyanz's ResNets, whose blocks are `model.N.conv_block`."""
    stem = shapes["model.1.weight"]
    blocks = {name.split(".")[1] for name in shapes if re.match(r"model\.\d+\.conv_block\.", name)}
    if len(stem) != 4 or stem[2:] != (7, 7) or not blocks or _separable(shapes):
        return None
    return {**_ends(shapes, stem), "ngf": stem[0], "blocks": len(blocks)}


def _mobile_resnet(shapes: Shapes) -> dict[str, Any] | None:
    """Read GAN Compression's mobile ResNets, whose blocks have separable convolutions."""
    if not _separable(shapes) or len(shapes["model.1.weight"]) != 4:
        return None
    blocks = {name.split(".")[1] for name in shapes if ".conv_block." in name}
    stem = shapes["model.1.weight"]
    return {**_ends(shapes, stem), "ngf": stem[0], "blocks": len(blocks)}


def _separable(shapes: Shapes) -> bool:
    return any(re.search(r"\.conv_block\.\d+\.conv\.0\.weight$", name) for name in shapes)


def _ends(shapes: Shapes, stem: tuple[int, ...]) -> dict[str, Any]:
    """Return the channels of images, and the norm: only BatchNorms have weights."""
    last = max((name for name in shapes if re.fullmatch(r"model\.\d+\.weight", name)), key=_place)
    norm = "batch" if any(name.endswith("running_var") for name in shapes) and _normed(shapes) else "instance"
    return {**_channels(stem[1], shapes[last][0]), "norm": norm}


def _place(name: str) -> int:
    return int(name.split(".")[1])


def _normed(shapes: Shapes) -> bool:
    return any(f"{name.removesuffix('running_var')}weight" in shapes for name in shapes if name.endswith("running_var"))


def _channels(inputs: int, outputs: int) -> dict[str, int]:
    """Return the channels of input and output images where they are not RGB's."""
    return {name: count for name, count in (("inputs", inputs), ("outputs", outputs)) if count != 3}


def _unet(shapes: Shapes) -> dict[str, Any] | None:
    """Read junyanz's U-Nets, whose scales are nested in one another."""
    first = shapes["model.model.0.weight"]
    if len(first) != 4 or "model.model.3.weight" not in shapes:
        return None
    depth = max(name.split(".").count("model") for name in shapes) - 1
    norm = "batch" if _normed(shapes) else "instance"
    return {**_channels(first[1], shapes["model.model.3.weight"][1]), "ngf": first[0], "depth": depth, "norm": norm}


READERS = {
    "resnet": Reader("model.1.weight", _resnet),
    "mobile_resnet": Reader("model.1.weight", _mobile_resnet),
    "unet": Reader("model.model.0.weight", _unet),
}
"""Generators by family; the first that reads a file, and whose network takes all of its weights, counts."""


def _patchgan(shapes: Shapes) -> dict[str, Any] | None:
    """Read junyanz's PatchGAN."""
    first = shapes["model.0.weight"]
    layers = [name for name in shapes if re.fullmatch(r"model\.\d+\.weight", name) and len(shapes[name]) == 4]
    if len(first) != 4 or first[2:] != (4, 4):
        return None
    norm = "batch" if _normed(shapes) else "instance"
    return {"inputs": first[1], "ndf": first[0], "layers": len(layers) - 2, "norm": norm}


DISCRIMINATORS = {"patchgan": Reader("model.0.weight", _patchgan)}
"""Discriminators by family."""


def read_generator(path: Path | str, key: str | None = None) -> dict[str, Any]:
    """Return the family and options of the generator in a file.

    Args:
        path: a safetensors or torch file; no code in it is run.
        key: the part of the file that holds it, where several networks fit.

    Raises:
        CheckpointError: the file is missing, or holds no network of a known family, or several.
    """
    return _read(path, key, READERS, build_generator, "--key")


def read_discriminator(path: Path | str, key: str | None = None) -> dict[str, Any]:
    """Return the family and options of the discriminator in a file; see `read_generator`."""
    return _read(path, key, DISCRIMINATORS, build_discriminator, "teach.discriminator_key")


def _read(
    path: Path | str,
    key: str | None,
    readers: Mapping[str, Reader],
    build: Callable[..., torch.nn.Module],
    setting: str,
) -> dict[str, Any]:
    file = require_weights(path)
    fault: CheckpointError | None = None
    for family, reader in readers.items():
        for shapes in _networks(file, key, reader.first):
            options = reader.options(shapes)
            if options is None:
                continue
            about = {"family": family, **options}
            with torch.device("meta"):
                net = build(**about)
            try:
                import_weights(net, file, key, setting)
            except CheckpointError as error:
                fault = fault or error
                continue
            return about
    if fault is not None:
        raise fault
    noun = "generator" if readers is READERS else "discriminator"
    rule = f"{file.name} must hold a {noun} of a family that can be read: {', '.join(readers)}"
    hint = "name its family and options, or its class, FILE.py:Class" if readers is READERS else "leave it out"
    raise CheckpointError(rule, "weights of other names", hint)


def _networks(file: Path, key: str | None, first: str) -> Iterator[Shapes]:
    """Yield the weights that begin with a family's first, under any prefix and in any part of the file."""
    for table in tables(read_content(file)):
        part = table if key is None else under(table, key)
        if part is None:
            continue
        plain = {one.carrier: one.plain for one in parts_of(part.tensors)}
        named = {plain.get(name, name): tuple(tensor.shape) for name, tensor in part.tensors.items()}
        for name in named:
            if name == first or name.endswith(f".{first}"):
                start = name[: len(name) - len(first)]
                yield {one.removeprefix(start): shape for one, shape in named.items() if one.startswith(start)}
