"""A recipe's options of networks are checked against the types that classes declare, in every family."""

import sys
from types import SimpleNamespace

import pytest
from torch import nn

from slimgen.cost.formula import Cost
from slimgen.errors import RecipeError, SlimgenError
from slimgen.nets import DISCRIMINATOR, DISCRIMINATORS, GENERATOR, GENERATORS, check_network, require_buildable

FAMILIES = [(GENERATOR, family) for family in GENERATORS] + [(DISCRIMINATOR, family) for family in DISCRIMINATORS]
GENOTYPED = {
    (GENERATOR, "trellis"),
    (GENERATOR, "upscale_trellis"),
    (GENERATOR, "alphagan"),
    (GENERATOR, "cyclegan_nas"),
    (DISCRIMINATOR, "cyclegan_nas"),
}
WIDTH = {"trellis": "ngf", "alphagan": "channels", "alphagan_s": "channels", "alphagan_l": "channels"} | {
    **dict.fromkeys(("resnet", "mobile_resnet", "unet", "spade", "mobile_spade", "upscale_trellis"), "ngf"),
    **dict.fromkeys(("patchgan", "multiscale", "vgg_style", "unet_sn"), "ndf"),
    **dict.fromkeys(("sngan", "srresnet", "rrdbnet", "srvgg"), "channels"),
    "cyclegan_nas": "hidden",
}


def about(noun: str, family: str, **options: object) -> dict[str, object]:
    return {"family": family, **({"genotype": {"a": 1}} if (noun, family) in GENOTYPED else {}), **options}


@pytest.mark.parametrize(("noun", "family"), FAMILIES)
def test_defaults_and_a_width_are_taken(noun: str, family: str) -> None:
    check_network(noun, about(noun, family), "teach.x")
    check_network(noun, about(noun, family, **{WIDTH[family]: 16}), "teach.x")


@pytest.mark.parametrize(("noun", "family"), FAMILIES)
@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0, "at least 1; got 0"),
        (-8, "at least 1; got -8"),
        (True, "a whole number; got true"),
        ("8", "a whole number; got '8'"),
        (8.5, "a whole number; got 8.5"),
        ([8], "a whole number"),
        (None, "a whole number; got null"),
        (10**7, "at most 65536"),
    ],
)
def test_a_width_is_a_number_that_can_be_built(noun: str, family: str, value: object, rule: str) -> None:
    with pytest.raises(RecipeError, match=rf"teach\.x: {WIDTH[family]}: must be {rule}"):
        check_network(noun, about(noun, family, **{WIDTH[family]: value}), "teach.x")


@pytest.mark.parametrize(("noun", "family"), FAMILIES)
def test_an_option_that_the_class_does_not_declare_is_refused(noun: str, family: str) -> None:
    wrong = f"{WIDTH[family]}s"
    with pytest.raises(RecipeError, match=f"no key '{wrong}'; got 3; did you mean '{WIDTH[family]}'"):
        check_network(noun, about(noun, family, **{wrong: 3}), "teach.x")
    for option in ("width", "height"):
        with pytest.raises(RecipeError, match=f"teach.x cannot set {option}: networks take the size of the images"):
            check_network(noun, about(noun, family, **{option: 64}), "teach.x")


@pytest.mark.parametrize(
    ("noun", "options", "words"),
    [
        (GENERATOR, {"family": "resnet", "blocks": 10**9}, "blocks: must be at most 256"),
        (GENERATOR, {"family": "resnet", "blocks": -1}, "blocks: must be at least 0"),
        (GENERATOR, {"family": "resnet", "dropout": 1.0}, "dropout: must be below 1"),
        (GENERATOR, {"family": "unet", "depth": 60}, "depth: must be at most 16"),
        (GENERATOR, {"family": "unet", "norm": ["batch"]}, "norm: must be text"),
        (GENERATOR, {"family": "spade", "spectral": "yes"}, "spectral: must be true or false"),
        (GENERATOR, {"family": "trellis"}, "needs the key 'genotype'"),
        (GENERATOR, {"family": "trellis", "genotype": 3}, "genotype: must be a mapping"),
        (GENERATOR, {"family": "trellis", "genotype": {}, "ratios": [0.5, 2]}, r"ratios\.1: must be at most 1"),
        (GENERATOR, {"family": "alphagan", "genotype": {"a": [1]}}, "genotype"),
        (DISCRIMINATOR, {"family": "patchgan", "layers": 17}, "layers: must be at most 16"),
        (DISCRIMINATOR, {"family": "multiscale", "scales": 0}, "scales: must be at least 1"),
        (GENERATOR, {}, "must name its family; got none; for example family: resnet"),
        (DISCRIMINATOR, {"family": 5}, "must name its family; got 5; for example family: patchgan"),
        (GENERATOR, {"family": "resnt"}, "did you mean 'resnet'"),
    ],
)
def test_each_option_has_its_kind_and_range(noun: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(SlimgenError, match=words) as caught:
        check_network(noun, options, "teach.x")
    assert "\n" not in str(caught.value)


class Own(nn.Module):
    def __init__(self, hidden: int = 4, rate: float = 1.0, norm: str | None = None, schema: "Unknown" = None) -> None:  # noqa: F821
        super().__init__()


class Open(nn.Module):
    def __init__(self, hidden: int, scale: "list[int] | None" = None, **more: object) -> None:
        super().__init__()


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "own_options", SimpleNamespace(Own=Own, Open=Open))
    return "own_options"


def test_options_of_a_user_defined_class_are_checked_against_its_signature(own: str) -> None:
    check_network(GENERATOR, {"family": f"{own}:Own", "schema": {"a": [1]}}, "g")
    check_network(GENERATOR, {"family": f"{own}:Open", "hidden": 3, "scale": [1], "further": "x"}, "g")
    with pytest.raises(RecipeError, match="no key 'hiden'; got 3; did you mean 'hidden'"):
        check_network(GENERATOR, {"family": f"{own}:Own", "hiden": 3}, "g")
    with pytest.raises(RecipeError, match="needs the key 'hidden'"):
        check_network(GENERATOR, {"family": f"{own}:Open"}, "g")
    with pytest.raises(RecipeError, match="hidden: must be a whole number; got true"):
        check_network(GENERATOR, {"family": f"{own}:Open", "hidden": True}, "g")
    with pytest.raises(RecipeError, match="no key 'kept_channels'"):
        check_network(GENERATOR, {"family": f"{own}:Own", "kept_channels": {}}, "g")


def test_the_error_for_a_network_too_large_to_train_gives_its_parameters() -> None:
    require_buildable("generator", Cost(2 * 10**9, 1, 1, 1))
    with pytest.raises(RecipeError, match=r"at most 2,000,000,000 parameters; got 30,000,000,000, 112 GiB"):
        require_buildable("generator", Cost(3 * 10**10, 1, 1, 1))
