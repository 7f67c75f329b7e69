"""Contracts of networks in pieces, over every family that can be split into pieces."""

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from slimgen.cost.count import count
from slimgen.cost.latency import onnx_session
from slimgen.errors import RecipeError
from slimgen.export.latency.graph import onnx_graph
from slimgen.export.onnx import export_onnx
from slimgen.nets import build_generator, check_pieces, generator_pieces
from slimgen.nets.alphagan.description import SPACE as EDGES
from slimgen.nets.cf_gan.space import Shape
from slimgen.nets.cf_gan.trellis import Trellis
from slimgen.nets.cf_gan.upscale_space import UpscaleShape
from slimgen.nets.cf_gan.upscale_trellis import UpscaleTrellis
from slimgen.nets.co_evolution.filters import FilterSpace
from slimgen.nets.cyclegan_nas.space import GeneratorShape, space_of
from slimgen.nets.gan_compression.once_for_all import OnceForAll
from slimgen.nets.pieces import Generators, InPieces
from slimgen.search import Choice, Genotype, Space

SIZE = (24, 32)
SCALE = 4
"""The enlargement of the trellis for super-resolution."""
NOISE = {"channels": 4, "latent": 6, "size": SIZE}
CELLS = {"hidden": 8, "cells": 4, "ends": True, "padding": "reflect", "activated": False}


@cache
def filters(family: str, ngf: int = 20) -> FilterSpace:
    options = {"ngf": ngf, "blocks": 3}
    net = build_generator(family, **options).eval()
    return FilterSpace(net, torch.zeros(1, 3, 16, 16), family=family, options=options)


@cache
def networks(name: str) -> InPieces:
    kind, _, family = name.partition(" ")
    if kind == "trellis":
        return Trellis(Shape(ngf=8, groups=3, blocks=2)).eval()
    if kind == "upscale_trellis":
        return UpscaleTrellis(UpscaleShape(ngf=4, groups=3, blocks=1, scale=SCALE)).eval()
    if kind == "channels":
        return OnceForAll(family, ((8, 12),) * 8, blocks=3).eval()
    if kind == "filters":
        return Generators(filters(family).space, family, filters(family).described)
    if kind == "enlarging":
        space = Space({"channels": Choice((4, 6)), "blocks": Choice((1, 2))})
        return Generators(space, family, lambda genotype: {**genotype, "scale": 2})
    if kind == "alphagan":
        shape = {**NOISE, "interpolation": family}
        return Generators(EDGES, "alphagan", lambda genotype: {"genotype": genotype, **shape})
    shape = {**CELLS, "spectral": False}
    space = space_of(GeneratorShape(**CELLS))
    return Generators(space, "cyclegan_nas", lambda genotype: {"genotype": genotype, **shape})


NAMES = [
    "trellis",
    "upscale_trellis",
    *(f"{kind} {family}" for kind in ("channels", "filters") for family in ("resnet", "mobile_resnet")),
    *(f"enlarging {family}" for family in ("srresnet", "rrdbnet", "srvgg")),
    *("alphagan plain", "alphagan learned", "cells"),
]


def genotypes(name: str, many: int) -> list[Genotype]:
    rng, space = random.Random(0), networks(name).space
    return [space.largest(), space.smallest(), *(space.sample(rng) for _ in range(many))]


def operators(graphs: Sequence[bytes], rows: bool = True) -> Counter[tuple[object, ...]]:
    """The operators of graphs: kind, attributes, and the sizes of their constants.

    Without those that move data only: what is computed in rows enters and leaves them at every joint of pieces. With
    `rows` False, it does not matter either whether a convolution of single pixels is computed in rows.
    """
    found: Counter[tuple[object, ...]] = Counter()
    for graph in (onnx.load_from_string(content).graph for content in graphs):
        constants = {each.name: numpy_helper.to_array(each).shape for each in graph.initializer}
        for node in graph.node:
            attributes = sorted(str(each) for each in node.attribute)
            sizes = [constants[name] for name in node.input if name in constants]
            if not rows and node.op_type == "Conv" and set(sizes[0][2:]) == {1}:
                attributes, sizes[0] = [], sizes[0][:2]
            found[node.op_type, tuple(attributes), tuple(sizes)] += node.op_type not in ("Identity", "Reshape")
    return +found


@pytest.mark.parametrize("name", NAMES)
def test_the_pieces_of_a_network_have_its_operators_and_its_cost(name: str) -> None:
    nets = networks(name)
    for genotype in genotypes(name, 2):
        pieces = nets.pieces(genotype, *SIZE)
        whole = onnx_graph(nets.extract(genotype), pieces[0].shape)
        rows = not name.startswith("upscale")  # its blocks have no norms, after which a feature would stay in rows
        parts = [onnx_graph(piece.build(), piece.shape) for piece in pieces]
        assert operators(parts, rows) == operators([whole], rows)
        parts = [count(piece.build(), torch.zeros(piece.shape)) for piece in pieces]
        cost = nets.cost(genotype, *SIZE)
        assert sum(part.exact for part in parts) == cost.exact
        assert sum(part.params for part in parts) == cost.params


@pytest.mark.parametrize("name", NAMES)
def test_equal_pieces_have_equal_keys_and_different_ones_different_keys(name: str) -> None:
    known: dict[str, object] = {}
    for genotype in genotypes(name, 6):
        for piece in networks(name).pieces(genotype, *SIZE):
            net = piece.build()
            made = net(torch.zeros(piece.shape)).shape
            about = piece.shape, made, sorted(operators([onnx_graph(net, piece.shape)]).items())
            assert known.setdefault(piece.key, about) == about
    assert len(set(map(str, known.values()))) == len(known)


@pytest.mark.parametrize("name", NAMES)
def test_each_piece_takes_the_networks_features_at_its_place(name: str) -> None:
    """At the ends, at least: the first takes what the network takes, and the last makes what it makes."""
    for genotype in genotypes(name, 2):
        pieces = networks(name).pieces(genotype, *SIZE)
        assert pieces[0].shape == ((1, 6) if name.startswith("alphagan") else (1, 3, *SIZE))
        times = SCALE if name.startswith("upscale") else 2 if name.startswith("enlarging") else 1
        made = tuple(times * side for side in SIZE)
        assert pieces[-1].build()(torch.zeros(pieces[-1].shape)).shape == (1, 3, *made)


@pytest.mark.parametrize("name", ["alphagan plain", "cells"])
def test_a_piece_depends_on_one_choice_at_most(name: str) -> None:
    """So milliseconds are a sum over choices, and the most probable genotype within a limit is found exactly."""
    space = networks(name).space
    start = space.sample(random.Random(3))
    before = [piece.key for piece in networks(name).pieces(start, *SIZE)]
    seen: list[int] = []
    for choice in space:
        places = set()
        for other in space.replacements(start, choice):
            after = [piece.key for piece in networks(name).pieces(other, *SIZE)]
            places |= {place for place, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}
        seen += places
        assert len(places) == 1
    assert len(set(seen)) == len(seen) == len(space)


@pytest.mark.parametrize("name", ["alphagan learned", "alphagan plain", "cells"])
def test_the_timed_graph_computes_what_the_network_computes(name: str) -> None:
    for genotype in genotypes(name, 3):
        net = initialised(networks(name).extract(genotype))
        given = torch.randn(networks(name).pieces(genotype, *SIZE)[0].shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            expected = net(given).numpy()
        session = onnx_session(onnx_graph(net, given.shape), 1)
        assert expected.std() > 0
        numpy.testing.assert_allclose(session.run(None, {"input": given.numpy()})[0], expected, rtol=1e-3, atol=1e-4)


def initialised(net: nn.Module) -> nn.Module:
    """Weights under which every branch shows."""
    torch.manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return net


def test_the_graph_of_cells_is_the_one_that_users_get(tmp_path) -> None:
    net = networks("cells").extract(networks("cells").space.sample(random.Random(5)))
    file = export_onnx(net, tmp_path / "generator.onnx", height=24, width=24, dynamic=False)
    kinds = [
        Counter(node.op_type for node in onnx.load_from_string(content).graph.node if node.op_type != "Identity")
        for content in (onnx_graph(net, (1, 3, 24, 24)), file.path.read_bytes())
    ]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("family", ["resnet", "mobile_resnet"])
def test_filters_are_timed_at_a_few_representative_numbers(family: str) -> None:
    space, rng = filters(family), random.Random(4)
    nets = Generators(space.space, family, space.described, space.alike)
    every: set[tuple[int, ...]] = set()
    for genotype in (space.sample(rng) for _ in range(200)):
        alike = space.alike(genotype)
        kept, timed = ([str(each[name]).count("1") for name in space.space] for each in (genotype, alike))
        assert all(abs(one - other) < 16 for one, other in zip(kept, timed, strict=True))
        assert all(one % 4 or not other % 4 for one, other in zip(kept, timed, strict=True))
        assert space.alike(alike) == alike
        every |= {(length, count) for length, count in zip(map(len, map(str, genotype.values())), timed, strict=True)}
        exact = generator_pieces(family, 16, 16, **space.described(alike))
        assert [piece.key for piece in nets.pieces(genotype, 16, 16)] == [piece.key for piece in exact]
    assert len({count for length, count in every if length == 80}) <= 20


def test_samples_of_filters_reach_from_nearly_none_to_nearly_all() -> None:
    space, rng = filters("resnet"), random.Random(6)
    shares = sorted(space.share(space.sample(rng)) for _ in range(200))
    assert shares[0] < 0.01
    assert shares[-1] > 0.9


def test_generators_that_cannot_be_split_into_pieces_are_refused() -> None:
    for family in ("unet", "spade"):
        with pytest.raises(RecipeError, match=f"in pieces; got '{family}'; limit macs instead"):
            check_pieces(family)
