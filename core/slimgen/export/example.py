"""The code on a model card, which runs the exported file without slimgen."""

import inspect

from slimgen.export.onnx import OnnxFile
from slimgen.export.tiled import enlarge
from slimgen.export.tiling import Tiling

RGB = 3
MODES = {1: "L", RGB: "RGB", 4: "RGBA"}
"""Pillow's modes of pictures by channels."""


def snippet(onnx: OnnxFile, tiles: Tiling | None = None) -> str:
    """Return Python that runs the file from its own folder.

    The input is `picture.png` where images are RGB or grey (or RGBA, with `tiles`), else an array; images of noise go
    to `generated.png`. With `tiles`, the code contains `slimgen.export.tiled.enlarge` and takes pictures of any size.
    """
    name, shape = onnx.input
    start = f'session = onnxruntime.InferenceSession("{onnx.path.name}")\n'
    levels = '((generated + 1) * 127.5).round().clip(0, 255).astype("uint8")'
    write = f'PIL.Image.fromarray({levels}).save("generated.png")\n'
    if tiles is not None:
        return _in_windows(onnx, tiles)
    if not pictured(onnx):
        flat = "[..., 0]" if onnx.output[1][1] == 1 else ""
        return (
            f"import numpy, onnxruntime, PIL.Image\n\n{start}"
            f"noise = numpy.random.default_rng(0).standard_normal((1, {shape[1]}), numpy.float32)\n"
            f'generated = session.run(None, {{"{name}": noise}})[0][0].transpose(1, 2, 0){flat}\n'
            f"{write}"
        )
    resized = _resized(onnx) + _sizes(onnx)
    if shape[1] == onnx.output[1][1] == 1:
        return (
            f"import numpy, onnxruntime, PIL.Image\n\n{start}"
            f'picture = PIL.Image.open("picture.png").convert("L"){resized}\n'
            "image = numpy.asarray(picture, numpy.float32)[None, None] / 127.5 - 1\n"
            f'generated = session.run(None, {{"{name}": image}})[0][0, 0]\n'
            f"{write}"
        )
    if shape[1] != RGB or onnx.output[1][1] != RGB:
        return (
            f"import numpy, onnxruntime\n\n{start}"
            f"image = numpy.zeros((1, {shape[1]}, {onnx.height}, {onnx.width}), numpy.float32)\n"
            f'generated = session.run(None, {{"{name}": image}})[0]\n'
        )
    return (
        f"import numpy, onnxruntime, PIL.Image\n\n{start}"
        f'picture = PIL.Image.open("picture.png").convert("RGB"){resized}\n'
        "image = numpy.asarray(picture, numpy.float32).transpose(2, 0, 1)[None] / 127.5 - 1\n"
        f'generated = session.run(None, {{"{name}": image}})[0][0].transpose(1, 2, 0)\n'
        f"{write}"
    )


def _resized(onnx: OnnxFile, *, labels: bool = False) -> str:
    """Return the call that brings a picture to a size that the file takes; empty for one that enlarges any size."""
    if _any_size(onnx):
        return ""
    nearest = ", PIL.Image.Resampling.NEAREST" if labels else ""  # between two ids lies another class
    return f".resize(({onnx.width}, {onnx.height}){nearest})"


def _any_size(onnx: OnnxFile) -> bool:
    """Return whether the file enlarges pictures, and takes them of any size."""
    enlarges = onnx.output[1][2:] != onnx.input[1][2:]
    return enlarges and onnx.multiple == 1 and {"height", "width"} <= set(onnx.dynamic)


def _sizes(onnx: OnnxFile) -> str:
    """Return a comment on the sizes that the file takes instead of the one in the code; empty for one size, or any."""
    if _any_size(onnx) or not {"height", "width"} <= set(onnx.dynamic):
        return ""
    multiples = f"multiples of {onnx.multiple}" if onnx.multiple > 1 else "sides"
    least = f" from {onnx.least} on" if onnx.least else ""
    return f"  # (width, height); any {multiples}{least}"


def bytes_snippet(onnx: OnnxFile, name: str, *, labels: bool, instances: bool = False) -> str:
    """Return Python that runs a file of 8-bit pictures, channels last, on several pictures of one size at once.

    Args:
        onnx: the file in float32.
        name: the one of 8-bit pictures.
        labels: whether it takes ids of label maps, as grey or palette pictures.
        instances: whether it takes the edges of instances, too.
    """
    start = f'import numpy, onnxruntime, PIL.Image\n\nsession = onnxruntime.InferenceSession("{name}")\n'
    given, made = onnx.input[1][1], onnx.output[1][1]
    if made not in MODES or (pictured(onnx) and not labels and given not in MODES):
        return ""
    if not pictured(onnx):
        read = f"given = numpy.random.default_rng(0).standard_normal((4, {given}), numpy.float32)\n"
    else:
        # Without a conversion, palette pictures are their ids, as they are for slimgen.
        convert = "" if labels else f'.convert("{MODES[int(given)]}")'
        axis = "[..., None]" if labels or given == 1 else ""
        resized = _resized(onnx, labels=labels)
        read = (
            'pictures = ["picture.png"]  # any number\n'
            f"images = [PIL.Image.open(name){convert}{resized} for name in pictures]{_sizes(onnx)}\n"
            f"given = numpy.stack([numpy.asarray(image) for image in images]){axis}\n"
        )
        if instances:
            read += (
                'edges = [PIL.Image.open(name).convert("L")'
                f'{resized} for name in ["edges.png"]]  # not 0 where instances meet\n'
                "edges = numpy.stack([numpy.asarray(edge) for edge in edges])[..., None]\n"
                "given = numpy.concatenate([given, edges], 3)\n"
            )
    shown = "picture[..., 0]" if made == 1 else "picture"
    return (
        f"{start}{read}"
        f'for number, picture in enumerate(session.run(None, {{"{onnx.input[0]}": given}})[0]):\n'
        f'    PIL.Image.fromarray({shown}).save(f"generated{{number}}.png")\n'
    )


def pictured(onnx: OnnxFile) -> bool:
    """Return whether the file takes images or label maps, and not noise."""
    return len(onnx.input[1]) == 4


def _in_windows(onnx: OnnxFile, tiles: Tiling) -> str:
    """Return the code for a file that enlarges: pictures of 8 bits, or arrays where their channels are no picture's."""
    name, given, made = onnx.input[0], *(int(axes[1]) for _, axes in (onnx.input, onnx.output))
    picture = {given, made} <= MODES.keys()
    call = (
        f"enlarge(\n    picture, run, window={tiles.window}, overlap={tiles.overlap}, step={tiles.step}, "
        f"multiple={tiles.multiple}, least={tiles.least}\n)\n"
    )
    pillow = "import PIL.Image\n" if picture else ""
    imports = (
        "from collections.abc import Callable, Sequence\nfrom typing import Any\n\n"
        f"import numpy\nimport onnxruntime\n{pillow}from numpy.typing import NDArray\n"
    )
    start = (
        "options = onnxruntime.SessionOptions()\noptions.enable_cpu_mem_arena = False  # memory is given back\n"
        f'session = onnxruntime.InferenceSession("{onnx.path.name}", options)\n'
    )
    if not picture:
        run = f'def run(part):\n    return session.run(None, {{"{name}": part}})[0]\n'
        read = f"picture = numpy.zeros((1, {given}, {onnx.height}, {onnx.width}), numpy.float32)\n"
        return f"{imports}\n\n{inspect.getsource(enlarge)}\n\n{start}\n\n{run}\n\n{read}generated = {call}"
    run = (
        "def run(part):\n"
        "    image = part.astype(numpy.float32) / 127.5 - 1\n"
        f'    generated = session.run(None, {{"{name}": image}})[0]\n'
        '    return ((generated + 1) * 127.5).round().clip(0, 255).astype("uint8")\n'
    )
    axes = "[None, None]" if given == 1 else ".transpose(2, 0, 1)[None]"
    read = f'picture = numpy.asarray(PIL.Image.open("picture.png").convert("{MODES[given]}")){axes}\n'
    shown = "[0, 0]" if made == 1 else "[0].transpose(1, 2, 0)"
    write = f'PIL.Image.fromarray(generated{shown}).save("generated.png")\n'
    return f"{imports}\n\n{inspect.getsource(enlarge)}\n\n{start}\n\n{run}\n\n{read}generated = {call}{write}"
