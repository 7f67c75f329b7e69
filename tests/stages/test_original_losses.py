"""An original may learn of other losses than what is made of it."""

from pathlib import Path

import pytest

from slimgen import stages
from slimgen.errors import RecipeError
from slimgen.files import GENERATOR
from slimgen.methods.checks import check_naive
from slimgen.recipe import Recipe, load
from slimgen.stages.checking import check
from slimgen.stages.fingerprint import fingerprint, sections
from slimgen.stages.table import STAGES
from tests.quiet import quiet

TINY = Recipe.parse((Path(__file__).parent / "tiny.yaml").read_text())


def test_an_original_of_own_losses_is_that_of_a_recipe_with_these(untracked, images, tmp_path) -> None:
    own = "{gan: vanilla, recon: 3}"
    recipes = {"own": TINY.override([f"teach.losses={own}"]), "all": TINY.override([f"losses={own}"]), "plain": TINY}
    weights = {}
    for name, recipe in recipes.items():
        stages.run(recipe, data=images, out=tmp_path / name / "run", until="teach", progress=quiet)
        weights[name] = (tmp_path / name / "run" / "teach" / GENERATOR).read_bytes()
    assert weights["own"] == weights["all"] != weights["plain"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["teach.losses={feature: 1}"], "losses.feature has no effect in the task paired"),
        (
            ["teach.losses={recon: 0, adversarial: 0}"],
            "at least one of 'adversarial', 'recon', 'feature' and 'perceptual' must be above 0",
        ),
        (["teach.losses={recon: 1}", "teach.generator_checkpoint=x.pt"], "'losses' needs a training"),
    ],
)
def test_losses_that_make_no_sense_of_an_original_are_refused(settings, said) -> None:
    with pytest.raises(RecipeError, match=said):
        check(TINY.override(settings))


def test_the_recipes_losses_decide_an_original_that_has_none_of_its_own_and_no_other() -> None:
    def marks(recipe: Recipe) -> set[str]:
        others = [[], ["losses.recon=7"], ["losses.gan=vanilla"], ["losses={perceptual: 1, perceptual_network: x.pt}"]]
        return {fingerprint(STAGES["teach"], recipe.override(each), {}, {}) for each in others}

    assert len(marks(TINY)) == 4
    own = TINY.override(["teach.losses={recon: 3}"])
    assert len(marks(own)) == 1
    assert marks(own) != marks(own.override(["teach.losses.recon=4"]))
    assert "losses" in sections(STAGES["supernet"], own)


def test_a_naive_rival_learns_of_the_originals_own_losses() -> None:
    recipe = load("townhouses-day2night-gan_compression").override(["finetune.rivals=[naive]"])
    check(recipe)
    check(recipe.override(["losses={adversarial: 0, recon: 1}", "teach.losses={adversarial: 1}"]))
    with pytest.raises(RecipeError, match=r"the rival naive needs an adversarial loss; got teach.losses.adversarial 0"):
        check_naive(recipe.override(["teach.losses={adversarial: 0, recon: 1}"]))
