import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimgen.cost.formula import Cost, batch_norm, convolution, instance_norm, linear, product, total, transposed
from slimgen.errors import SlimgenError
from slimgen.nets import generator_cost

numbers = st.integers(0, 10**12)
costs = st.builds(Cost, numbers, numbers, numbers, numbers)


def test_a_convolution_costs_its_kernel_at_every_output():
    assert convolution(3, 5, 7, 10, 20) == Cost(3 * 5 * 49 + 5, *3 * [3 * 5 * 49 * 200])


def test_a_depthwise_convolution_costs_one_kernel_a_channel():
    assert convolution(8, 8, 3, 4, 4, groups=8, bias=False) == Cost(72, *3 * [72 * 16])


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(SlimgenError, match="groups of a convolution must divide its channels; got 6, 8 / 4"):
        convolution(6, 8, 3, 4, 4, groups=4)


def test_a_transposed_convolution_is_counted_at_its_input_or_at_its_output():
    cost = transposed(4, 2, 3, 5, 5, 10, 10)
    assert cost == Cost(74, exact=72 * 25, torchprofile=72 * 100, gan_compression=72 * 100)


def test_norms_cost_operations_in_the_convention_of_gan_compression_only():
    assert instance_norm(8, 4, 6) == Cost(0, 0, 0, 192)
    assert instance_norm(8, 4, 6, affine=True) == Cost(16, 0, 0, 192)
    assert batch_norm(8) == Cost(16)
    assert batch_norm(8, affine=False) == Cost()
    assert product(8, 4, 6) == Cost(0, 0, 0, 192)


def test_a_linear_layer_costs_its_matrix():
    assert linear(128, 4096) == Cost(128 * 4096 + 4096, *3 * [128 * 4096])
    assert linear(128, 4096, bias=False).params == 128 * 4096


@pytest.mark.parametrize(
    ("ngf", "params", "torchprofile", "gan_compression", "exact"),
    [
        (64, 1_987_075, 18_314_428_416, 18_365_808_640, 11_066_671_104),
        (48, 1_130_883, 10_564_927_488, 10_603_462_656, 6_488_064_000),
    ],
)
def test_the_mobile_resnet_costs_what_is_published(ngf, params, torchprofile, gan_compression, exact):
    trunk, size = 4 * ngf, (64, 64)
    separable = total(
        (
            convolution(trunk, trunk, 3, *size, groups=trunk),
            instance_norm(trunk, *size),
            convolution(trunk, trunk, 1, *size),
            instance_norm(trunk, *size),
        )
    )
    cost = generator_cost("resnet", 256, 256, ngf=ngf, blocks=0).plus(separable.times(18))
    assert cost == Cost(params, exact, torchprofile, gan_compression)


@given(st.lists(costs))
def test_a_total_sums_each_number_by_itself(parts):
    assert tuple(total(parts)) == tuple(sum(part[at] for part in parts) for at in range(4))


@given(costs, costs, st.integers(0, 50))
def test_plus_and_times_agree_with_totals(one, other, repeats):
    assert one.plus(other) == total([one, other]) == other.plus(one)
    assert one.times(repeats) == total([one] * repeats)


def test_costs_are_read_under_a_named_convention():
    cost = Cost(params=10, exact=1, torchprofile=2, gan_compression=3)
    assert [cost.macs(name) for name in ("exact", "torchprofile", "gan-compression")] == [1, 2, 3]
    assert cost.as_dict("gan-compression") == {"macs": 3, "params": 10, "bytes": 40}


def test_a_misspelt_convention_is_told_the_nearest():
    with pytest.raises(SlimgenError, match=r"got 'torchprofil'; did you mean 'torchprofile'\?"):
        Cost().macs("torchprofil")


def test_the_closed_form_needs_no_torch():
    code = "import sys, slimgen.cost.formula, slimgen.nets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
