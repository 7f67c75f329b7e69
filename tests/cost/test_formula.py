import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimgen.cost.formula import Cost, total
from slimgen.cost.rows import Row, cost_of
from slimgen.errors import SlimgenError
from slimgen.nets import generator_cost

numbers = st.integers(0, 10**12)
costs = st.builds(Cost, *[numbers] * len(Cost._fields))


@pytest.mark.parametrize(
    ("ngf", "params", "torchprofile", "gan_compression", "exact"),
    [
        (64, 1_987_075, 18_314_428_416, 18_365_808_640, 11_066_671_104),
        (48, 1_130_883, 10_564_927_488, 10_603_462_656, 6_488_064_000),
    ],
)
def test_the_mobile_resnet_costs_what_is_published(ngf, params, torchprofile, gan_compression, exact):
    trunk = 4 * ngf
    separable = [
        Row("spatial", "depthwise", trunk, trunk, part=4, norm="instance"),
        Row("pointwise", "convolution", trunk, trunk, 1, part=4, norm="instance"),
    ]
    trunk_layers = [cost_of(separable, 256, 256)] * 18
    cost = total([generator_cost("resnet", 256, 256, ngf=ngf, blocks=0), *trunk_layers])
    assert cost[:4] == (params, exact, torchprofile, gan_compression)


@given(st.lists(costs))
def test_a_total_sums_each_number_by_itself(parts):
    assert tuple(total(parts)) == tuple(sum(part[at] for part in parts) for at in range(len(Cost._fields)))


def test_costs_are_read_under_a_named_convention():
    cost = Cost(params=10, exact=1, torchprofile=2, gan_compression=3, thop=4)
    assert [cost.macs(name) for name in ("exact", "torchprofile", "gan-compression", "thop")] == [1, 2, 3, 4]
    assert cost.as_dict("gan-compression") == {"macs": 3, "params": 10, "bytes": 40}


def test_a_misspelt_convention_gets_the_nearest_as_a_hint():
    with pytest.raises(SlimgenError, match=r"got 'torchprofil'; did you mean 'torchprofile'\?"):
        Cost().macs("torchprofil")


def test_the_closed_form_needs_no_torch():
    code = "import sys, slimgen.cost.formula, slimgen.nets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
