import random

import pytest
import torch

from slimgen.cost.count import count
from slimgen.nets.cf_gan.space import Shape
from slimgen.nets.cf_gan.trellis import Trellis

SHAPE = Shape(ngf=8, groups=3, blocks=2)


@pytest.fixture(scope="module")
def trellis() -> Trellis:
    return Trellis(SHAPE)


def test_the_pieces_of_a_generator_cost_what_it_costs(trellis: Trellis) -> None:
    rng = random.Random(0)
    for genotype in (trellis.space.largest(), *(trellis.space.sample(rng) for _ in range(12))):
        parts = [count(piece.build(), torch.zeros(piece.shape)) for piece in trellis.pieces(genotype, 16, 24)]
        whole = trellis.cost(genotype, 16, 24)
        assert sum(part.exact for part in parts) == whole.exact
        assert sum(part.params for part in parts) == whole.params


def test_equal_pieces_have_equal_keys_and_others_have_others(trellis: Trellis) -> None:
    rng, known = random.Random(1), {}
    for genotype in (trellis.space.sample(rng) for _ in range(60)):
        for piece in trellis.pieces(genotype, 16, 16):
            about = f"{piece.shape} {piece.build()}"
            assert known.setdefault(piece.key, about) == about
    assert len(set(known.values())) == len(known)


def test_the_first_piece_takes_the_image(trellis: Trellis) -> None:
    assert trellis.pieces(trellis.space.smallest(), 16, 24)[0].shape == (1, 3, 16, 24)
