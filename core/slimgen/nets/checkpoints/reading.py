"""Family and options of a published network, read from the names and shapes of its weights.

A family adds its reader to `READERS`, the name of its first weight and a function of one line or ten.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import torch

from slimgen.errors import CheckpointError, SlimgenError
from slimgen.nets import build_discriminator, build_generator
from slimgen.nets.checkpoints.choosing import Option, import_weights, parts_named, tables
from slimgen.nets.checkpoints.parts import parts_of
from slimgen.nets.checkpoints.schemes import modern
from slimgen.nets.weights import read_content, require_weights

Shapes = Mapping[str, tuple[int, ...]]
"""The weights of a network by name, each with its shape."""


class Reader(NamedTuple):
    """How a family is recognised.

    Attributes:
        first: the name of the weight that every network of the family has first.
        options: the shapes of a network's weights to its options; None where it is of another family.
        own: a weight by which the family's older names are known (see `modern`); they are read as today's.
    """

    first: str
    options: Callable[[Shapes], dict[str, Any] | None]
    own: str = ""


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


def _rrdbnet(shapes: Shapes) -> dict[str, Any] | None:
    """Read RRDBNets; one of scale 2 or 1 takes squares of 4 or 16 pixels as channels."""
    if not {"body.0.rdb1.conv1.weight", "conv_up2.weight", "conv_last.weight"} <= shapes.keys():
        return None
    (channels, given), outputs = shapes["conv_first.weight"][:2], shapes["conv_last.weight"][0]
    scale = next((4 // shrinks for shrinks in (2, 4) if given == outputs * shrinks**2), 4)
    inputs, growth = given // (4 // scale) ** 2, shapes["body.0.rdb1.conv1.weight"][0]
    found = {"channels": channels, "blocks": _blocks(shapes), "scale": scale}
    return {**_channels(inputs, outputs), **found, **({} if 2 * growth == channels else {"growth": growth})}


def _srresnet(shapes: Shapes) -> dict[str, Any] | None:
    """Read BasicSR's SRResNets, which enlarge by 2 twice, or once by 2 or 3."""
    if not {"upconv1.weight", "conv_last.weight"} <= shapes.keys():
        return None
    (channels, inputs), outputs = shapes["conv_first.weight"][:2], shapes["conv_last.weight"][0]
    scale = 4 if "upconv2.weight" in shapes else isqrt(shapes["upconv1.weight"][0] // channels)
    return {**_channels(inputs, outputs), "channels": channels, "blocks": _blocks(shapes), "scale": scale}


def _blocks(shapes: Shapes) -> int:
    return len({name.split(".")[1] for name in shapes if re.match(r"body\.\d+\.", name)})


def _srvgg(shapes: Shapes) -> dict[str, Any] | None:
    """Read Real-ESRGAN's SRVGGNetCompacts: convolutions and PReLUs in turns."""
    convolutions = [name for name in shapes if re.fullmatch(r"body\.\d+\.weight", name) and len(shapes[name]) == 4]
    if "body.0.weight" not in convolutions or len(convolutions) < 2:
        return None
    channels, inputs = shapes["body.0.weight"][:2]
    scale = isqrt(shapes[max(convolutions, key=_place)][0] // inputs)
    return {**_channels(inputs, inputs), "channels": channels, "blocks": len(convolutions) - 2, "scale": scale}


READERS = {
    "resnet": Reader("model.1.weight", _resnet),
    "mobile_resnet": Reader("model.1.weight", _mobile_resnet),
    "unet": Reader("model.model.0.weight", _unet),
    "rrdbnet": Reader("conv_first.weight", _rrdbnet, own="conv_body.weight"),
    "srresnet": Reader("conv_first.weight", _srresnet, own="upconv1.weight"),
    "srvgg": Reader("body.0.weight", _srvgg),
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


def _vgg_style(shapes: Shapes) -> dict[str, Any] | None:
    """Read SRGAN's discriminator as BasicSR has it, with two convolutions for each halving."""
    ndf, inputs = shapes["conv0_0.weight"][:2]
    halvings = sum(bool(re.fullmatch(r"conv\d+_1\.weight", name)) for name in shapes)
    return {"inputs": inputs, "ndf": ndf, "halvings": halvings} if halvings else None


def _unet_sn(shapes: Shapes) -> dict[str, Any] | None:
    """Read Real-ESRGAN's U-Net with spectral norms."""
    if "conv9.weight" not in shapes:
        return None
    ndf, inputs = shapes["conv0.weight"][:2]
    return {"inputs": inputs, "ndf": ndf}


DISCRIMINATORS = {
    "patchgan": Reader("model.0.weight", _patchgan),
    "vgg_style": Reader("conv0_0.weight", _vgg_style),
    "unet_sn": Reader("conv0.weight", _unet_sn),
}
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
    fault: SlimgenError | None = None
    parts = list(tables(read_content(file)))
    if key is not None and parts:
        parts = parts_named(parts, key, file.name, setting)
    for family, reader in readers.items():
        for shapes in _networks(parts, reader):
            options = reader.options(shapes)
            if options is None:
                continue
            about = {"family": family, **options}
            try:
                with torch.device("meta"):
                    net = build(**about)
                import_weights(net, file, key, setting)
            except SlimgenError as error:  # also of options that no network of the family has
                fault = fault or error
                continue
            return about
    if fault is not None:
        raise fault
    noun = "generator" if readers is READERS else "discriminator"
    rule = f"{file.name} must hold a {noun} of a family that can be read: {', '.join(readers)}"
    hint = "name its family and options, or its class, FILE.py:Class" if readers is READERS else "leave it out"
    raise CheckpointError(rule, "weights of other names", hint)


def _networks(parts: Sequence[Option], reader: Reader) -> Iterator[Shapes]:
    """Yield the weights that begin with a family's first, under any prefix and in any part of the file."""
    first = reader.first
    for part in parts:
        plain = {one.carrier: one.plain for one in parts_of(part.tensors)}
        names = modern((reader.own,), [plain.get(name, name) for name in part.tensors])
        named = {name: tuple(tensor.shape) for name, tensor in zip(names, part.tensors.values(), strict=True)}
        for name in named:
            if name == first or name.endswith(f".{first}"):
                start = name[: len(name) - len(first)]
                yield {one.removeprefix(start): shape for one, shape in named.items() if one.startswith(start)}
