import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimgen.cost.formula import Cost, total
from slimgen.cost.rows import Row, cost_of, largest, largest_within, positions, smallest_reaching
from slimgen.errors import BudgetError, SlimgenError


def test_a_convolution_costs_its_kernel_at_every_output():
    assert cost_of([Row("stem", "convolution", 3, 5, 7)], 10, 20) == Cost(
        3 * 5 * 49 + 5, *3 * [3 * 5 * 49 * 200], thop=(3 * 49 + 1) * 5 * 200
    )


def test_a_depthwise_convolution_costs_one_kernel_a_channel():
    expected = Cost(72, *4 * [72 * 16])
    assert cost_of([Row("deep", "depthwise", 8, 8, bias=False)], 4, 4) == expected
    assert cost_of([Row("deep", "convolution", 8, 8, groups=8, bias=False)], 4, 4) == expected


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(SlimgenError, match="groups of a convolution must divide its channels; got 6, 8 / 4"):
        cost_of([Row("grouped", "convolution", 6, 8, groups=4)], 4, 4)


def test_a_transposed_convolution_is_counted_at_its_input_or_at_its_output():
    cost = cost_of([Row("up", "transposed", 4, 2, stride=2)], 10, 10)
    assert cost == Cost(74, exact=72 * 25, torchprofile=72 * 100, gan_compression=72 * 100, thop=74 * 100)


def test_norms_and_products_cost_operations_in_one_convention_each():
    assert cost_of([Row("norm", "norm", 8, 8, norm="instance")], 4, 6) == Cost(0, 0, 0, 192)
    assert cost_of([Row("norm", "norm", 8, 8, norm="affine instance")], 4, 6) == Cost(16, 0, 0, 192)
    assert cost_of([Row("norm", "norm", 8, 8, norm="batch")], 4, 6) == Cost(16, thop=2 * 192)
    assert cost_of([Row("norm", "norm", 8, 8, norm="plain batch")], 4, 6) == Cost(thop=2 * 192)
    assert cost_of([Row("scale", "product", 8, 8)], 4, 6) == Cost(0, 0, 0, 192)


def test_leaky_relus_cost_one_operation_an_element_as_thop_counts_and_prelus_a_slope_a_channel():
    conv = Row("conv", "convolution", 4, 6, part=2, stride=2)
    plain = cost_of([conv], 8, 12)
    assert cost_of([conv._replace(after=("leaky",))], 8, 12) == plain._replace(thop=plain.thop + 6 * 24)
    assert cost_of([conv._replace(before=("leaky",))], 8, 12) == plain._replace(thop=plain.thop + 4 * 96)
    assert cost_of([Row("prelu", "prelu", 6, 6)], 8, 12) == Cost(6)


def test_a_linear_layer_costs_its_matrix():
    assert cost_of([Row("entry", "linear", 128, 4096)], 32, 32) == Cost(128 * 4096 + 4096, *4 * [128 * 4096])
    assert cost_of([Row("entry", "linear", 128, 4096, bias=False)], 32, 32).params == 128 * 4096


def test_a_row_is_counted_at_its_part_of_the_image():
    (whole,) = (cost_of([Row("conv", "convolution", 4, 4)], 6, 8),)
    assert cost_of([Row("conv", "convolution", 4, 4, part=4)], 24, 32) == whole


@pytest.mark.parametrize("norm", ["", "instance", "batch"])
def test_a_block_costs_its_layers_and_its_own_norm(norm):
    within = (Row("into", "convolution", 4, 6, norm="instance"), Row("back", "convolution", 6, 4))
    alone = Row("norm", "norm", 4, 4, norm=norm)
    block = Row("block", "block", 4, 4, norm=norm, within=within)
    assert cost_of([block], 8, 8) == cost_of([*within, alone], 8, 8)
    assert cost_of([block, block._replace(name="next")], 8, 8) == total([cost_of([*within, alone], 8, 8)] * 2)


@given(st.lists(st.integers(1, 64), min_size=2, max_size=5))
def test_many_networks_cost_at_once_what_each_does(widths):
    kinds = ("convolution", "depthwise", "transposed", "linear", "norm", "product")

    def rows(wide):
        layers = [Row(kind, kind, wide, wide, norm="instance", part=2, stride=2) for kind in kinds]
        return [*layers, Row("one", "block", wide, wide, within=tuple(layers)), Row("end", "convolution", 3, wide)]

    together = cost_of(rows(np.array(widths)), 16, 8)
    for number, width in enumerate(widths):
        assert tuple(column[number] for column in together) == tuple(cost_of(rows(width), 16, 8))


def test_rows_say_where_their_layers_lie_in_a_chain():
    rows = [
        Row("stem", "convolution", 3, 8, norm="instance", before=("reflect",), after=("relu",)),
        Row("block", "block", 8, 8),
        Row("output", "convolution", 8, 3, after=("tanh",)),
    ]
    assert positions(rows) == {"stem": range(4), "block": range(4, 5), "output": range(5, 7)}


@given(st.integers(1, 10**6), st.integers(0, 10**10))
def test_the_largest_width_fits_and_the_next_does_not(slope, spare):
    limit = slope + spare
    width = largest_within(lambda width: slope * width, limit)
    assert slope * width <= limit < slope * (width + 1)


@given(st.integers(1, 10**4), st.integers(1, 10**9), st.integers(1, 8))
def test_the_smallest_width_reaches_an_amount_and_the_one_before_does_not(slope, amount, least):
    width = smallest_reaching(lambda width: slope * width, amount, least)
    assert slope * width >= amount
    assert width == least or slope * (width - 1) < amount


def test_a_budget_below_the_narrowest_network_names_its_cost():
    with pytest.raises(BudgetError, match="a network of width 1 must fit into 499; got 500; raise the budget"):
        largest_within(lambda width: 500 * width, 499)


def test_an_amount_that_no_width_reaches_is_an_error():
    with pytest.raises(BudgetError, match="no width reaches 11; got 10 at a width of"):
        smallest_reaching(lambda width: 10, 11)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_the_largest_number_that_fits_lies_between_its_bounds(fitting, least, more):
    most = least + more
    assert largest(lambda number: number <= fitting, least, most) == max(min(fitting, most), least - 1)
