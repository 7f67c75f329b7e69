"""Small graphs in ONNX's own notation, small generators of every family, and whether two graphs compute the same."""

import random
import re
from collections import Counter

import numpy
import onnx
import onnxruntime
from onnx import ModelProto, numpy_helper, parser, shape_inference

from slimgen.nets.cf_gan.space import Shape, trellis_space
from slimgen.nets.cf_gan.upscale_space import UpscaleShape
from slimgen.nets.cyclegan_nas.space import GeneratorShape, space_of

IMAGES = "float[n, 8, h, w]"


def model(text: str, entering: str = IMAGES, **shapes: tuple[int, ...] | numpy.ndarray) -> ModelProto:
    """A model of nodes in ONNX's own notation, from `input` to `output`; constants of these shapes are drawn."""
    found = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 20]> g ({entering} input) => (float[n, o, a, b] output) {{ {text} }}'
    )
    rng = numpy.random.default_rng(0)
    given = {
        name: shape if isinstance(shape, numpy.ndarray) else rng.standard_normal(shape).astype(numpy.float32)
        for name, shape in shapes.items()
    }
    given |= {
        "yes": numpy.array(True),
        "twice": numpy.array([1, 1, 2, 2], numpy.float32),
        "around": numpy.array([0, 0, 3, 3] * 2),
    }
    used = set(re.findall(r"\w+", text))
    found.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in given.items() if name in used
    )
    return shape_inference.infer_shapes(found)


def kinds(found: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in found.graph.node)


def run(found: ModelProto, images: numpy.ndarray) -> numpy.ndarray:
    session = onnxruntime.InferenceSession(found.SerializeToString(), providers=["CPUExecutionProvider"])
    return numpy.asarray(session.run(None, {"input": images})[0])


def noise(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(1).standard_normal(shape).astype(numpy.float32)


def agree(one: ModelProto, other: ModelProto, *shapes: tuple[int, ...]) -> None:
    onnx.checker.check_model(other, full_check=True)
    for shape in shapes:
        expected, got = run(one, noise(*shape)), run(other, noise(*shape))
        assert expected.std() > 0
        numpy.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * numpy.abs(expected).max())


FAMILIES = {
    "resnet": ({"ngf": 4, "blocks": 1}, 3),
    "mobile_resnet": ({"ngf": 6, "blocks": 1}, 3),
    "unet": ({"ngf": 4, "depth": 3}, 3),
    "trellis": (
        {"ngf": 8, "groups": 2, "blocks": 1, "genotype": trellis_space(Shape(8, 2, 1)).sample(random.Random(1))},
        3,
    ),
    "cyclegan_nas": (
        {"hidden": 8, "cells": 3, "spectral": False, "padding": "reflect", "activated": False}
        | {"genotype": space_of(GeneratorShape(hidden=8, cells=3)).sample(random.Random(0))},
        3,
    ),
    "spade": ({"ngf": 2, "doublings": 5, "inputs": 5}, 5),
    "mobile_spade": ({"ngf": 2, "doublings": 5, "inputs": 5}, 5),
    "alphagan_s": ({"channels": 8, "latent": 4}, None),
    "alphagan_l": ({"channels": 8, "latent": 4}, None),
    "sngan": ({"channels": 8, "latent": 4}, None),
    "upscale_trellis": (
        {"ngf": 8, "groups": 2, "blocks": 1, "scale": 2}
        | {"genotype": trellis_space(UpscaleShape(8, 2, 1, scale=2)).sample(random.Random(1))},
        3,
    ),
    "srresnet": ({"channels": 4, "blocks": 1, "scale": 4}, 3),
    "rrdbnet": ({"channels": 4, "blocks": 1, "scale": 2}, 3),
    "srvgg": ({"channels": 4, "blocks": 1, "scale": 3}, 3),
}
"""Options of a small generator, and its input's channels; None for those of noise."""
