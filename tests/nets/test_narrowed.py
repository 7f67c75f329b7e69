"""A family's generator narrowed to the cost of another: the rival of a search."""

import pytest

from slimgen.cost.formula import CONVENTIONS
from slimgen.errors import BudgetError, RecipeError, SlimgenError
from slimgen.nets import generator_cost, narrowed, width_option

SHAPES = {
    "resnet": {"blocks": 6, "dropout": 0.0},
    "mobile_resnet": {"blocks": 3},
    "unet": {"depth": 5, "norm": "instance"},
    "spade": {"inputs": 12, "doublings": 5},
    "mobile_spade": {"inputs": 12},
    "sngan": {"latent": 128, "size": 64},
    "srresnet": {"blocks": 3, "scale": 2},
    "rrdbnet": {"blocks": 2},
    "srvgg": {"blocks": 4, "scale": 3},
}


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("family", SHAPES)
def test_the_narrowed_generator_is_the_narrowest_that_costs_at_least_as_much(family: str, convention: str) -> None:
    def narrow(macs: int) -> dict[str, object]:
        return narrowed(family, SHAPES[family], amount, macs)

    def amount(options):
        return generator_cost(family, 64, 128 - 64 * (family == "sngan"), **options).macs(convention)

    option = width_option(family)
    for width in (2, 11, 32):
        options = {**SHAPES[family], option: width}
        macs = amount(options)
        assert narrow(macs) == options
        assert narrow(macs + 1) == {**options, option: width + 1}
    assert narrow(1) == {**SHAPES[family], option: 1}


@pytest.mark.parametrize(("family", "macs"), [("resnet", 56_799_264_768), ("unet", 18_140_364_800)])
def test_the_cost_of_the_original_is_met_by_the_original(family: str, macs: int) -> None:
    assert narrowed(family, {}, lambda options: generator_cost(family, 256, 256, **options).torchprofile, macs) == {
        "ngf": 64
    }


def test_widths_of_single_parts_are_left_out_of_the_narrowed_generator() -> None:
    cut = {"blocks": 2, "config": "8_8_8_8_8_8"}

    def params(options):
        return generator_cost("resnet", 64, 64, **options).params

    assert narrowed("resnet", cut, params, params(cut)) == {"blocks": 2, "ngf": 8}


def test_an_amount_out_of_reach_and_a_family_without_width_are_refused() -> None:
    with pytest.raises(BudgetError, match="no width reaches"):
        narrowed("resnet", {"blocks": 0}, lambda options: min(options["ngf"], 10**9), 10**10)
    assert width_option("cyclegan_nas") is None
    with pytest.raises(RecipeError, match="an option ngf or channels to be narrowed; got 'cyclegan_nas'"):
        narrowed("cyclegan_nas", {}, lambda options: 1.0, 1)
    with pytest.raises(SlimgenError, match="did you mean 'resnet'"):
        width_option("resnt")
