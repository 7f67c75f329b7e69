import pytest

from slimgen.methods.rivals import equal_ngf
from slimgen.nets import generator_cost

OPTIONS = {"blocks": 6, "dropout": 0.0}


@pytest.mark.parametrize("convention", ["exact", "torchprofile", "gan-compression"])
@pytest.mark.parametrize("ngf", [1, 2, 11, 32])
def test_the_uniform_rival_is_the_smallest_that_costs_at_least_as_much(convention: str, ngf: int) -> None:
    macs = generator_cost("resnet", 64, 64, ngf=ngf, **OPTIONS).macs(convention)
    assert equal_ngf(macs, convention, 64, OPTIONS) == ngf
    assert equal_ngf(macs + 1, convention, 64, OPTIONS) == ngf + 1
    assert equal_ngf(1, convention, 64, OPTIONS) == 1
