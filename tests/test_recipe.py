from pathlib import Path

import pytest
import yaml

from slimgen.errors import RecipeError
from slimgen.methods import open_method
from slimgen.recipe import Recipe, Schedule, load, presets
from slimgen.recipe.sections import BudgetSection, DataSection, share
from slimgen.recipe.validating import RENAMED
from slimgen.tasks import check_recipe

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "name": "small",
    "task": "paired",
    "method": "cf_gan",
    "teach": {"updates": 1},
    "finetune": {"updates": 1},
}


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid_including_the_sections_of_its_method(name: str) -> None:
    recipe = load(name)
    assert recipe.name == name
    check_recipe(recipe)
    open_method(recipe.method).check(recipe)


def test_the_pipeline_of_this_repository_runs_the_preset() -> None:
    here = load(f"{ROOT / 'params.yaml'}#recipes.townhouses-cf_gan")
    assert here == load("townhouses-cf_gan")


def test_a_recipe_may_extend_a_preset_and_gives_only_what_differs(tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: facades-cf_gan\ndata: {load: null}\nteach: {generator: {family: unet}}\nsearch: {tune: 0}\n"
    )
    mine, base = load(str(tmp_path / "mine.yaml")), load("pairs-cf_gan")
    assert mine.name == "mine"
    assert (mine.data.direction, mine.data.load, mine.data.validation) == ("BtoA", None, 40)  # of the one between
    assert mine.teach.generator == {"family": "unet"}  # whole: the options of another family have no place here
    assert mine.teach.updates == base.teach.updates
    assert mine.search == {**base.search, "tune": 0}
    assert Recipe.parse(mine.to_yaml()) == mine


def test_a_recipe_extends_a_preset_and_nothing_else() -> None:
    with pytest.raises(RecipeError, match=r"extends must be the name .* did you mean 'pairs-cf_gan'\?"):
        Recipe.parse("extends: pair-cf_gan")


def test_recipes_for_a_users_own_images_say_nothing_of_anybody_elses() -> None:
    neutral = [name for name in presets() if name.startswith(("pairs-", "unpaired-", "images-"))]
    assert len(neutral) == 7
    for recipe in map(load, neutral):
        assert recipe.data == DataSection(validation=recipe.data.validation)
    assert not [name for name in presets() if load(name).data.licence]


@pytest.mark.parametrize("name", presets())
def test_recipe_survives_yaml(name: str) -> None:
    assert Recipe.parse(load(name).to_yaml()) == load(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sise": 64}, "did you mean 'size'"),
        ({"teach": {"updates": 1, "bach": 4}}, "did you mean 'batch'"),
        ({"size": "large"}, "size"),
        ({"teach": {}}, "exactly one of 'updates' and 'epochs'"),
        ({"teach": {"updates": 3, "epochs": 2}}, "exactly one of"),
        ({"budget": {"macs": "2/1"}}, "share of the original"),
        ({"budget": {"macs": -5}}, "positive"),
        ({"budget": {"convention": "flops"}}, "convention"),
    ],
)
def test_mistakes_are_one_line_that_names_the_place(change: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.from_values({**SMALL, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("written", [64, [64, 64], "64x64", 64.0])
def test_a_square_is_the_same_recipe_however_its_size_is_written(written) -> None:
    assert Recipe.from_values({**SMALL, "size": written}) == Recipe.from_values({**SMALL, "size": 64})
    assert Recipe.from_values({**SMALL, "size": written}).model_dump(mode="json")["size"] == 64


def test_a_size_is_height_and_width_in_yaml_and_in_settings() -> None:
    recipe = Recipe.from_values({**SMALL, "size": [72, 96], "data": {"load": [81, 108], "fit": "crop"}})
    assert (recipe.size.height, recipe.size.width, recipe.data.load) == (72, 96, (81, 108))
    assert Recipe.parse(recipe.to_yaml()) == recipe
    assert recipe.override(["size=96x72", "data.load=null"]).size == (96, 72)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": [72, 96, 3]}, r"size: .*height and width, such as 64, \[72, 96\] or 72x96"),
        ({"size": [4, 96]}, "size: each side must have 8 to 16,384 pixels"),
        ({"size": True}, "height and width"),
        (
            {"size": [72, 96], "data": {"load": 96}},
            "'data.load', 96 x 96, must be at least 'size', 72 x 96, with the same aspect",
        ),
        ({"size": 64, "data": {"load": 56}}, "'data.load', 56 x 56, must be at least 'size', 64 x 64"),
        ({"data": {"fit": "stretch"}}, "'squash', 'crop' or 'pad'"),
    ],
)
def test_invalid_sizes_are_refused_in_one_line(change: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.from_values({**SMALL, **change})
    assert "\n" not in str(caught.value)


def test_missing_section_is_named() -> None:
    with pytest.raises(RecipeError, match="'teach'"):
        Recipe.from_values({name: value for name, value in SMALL.items() if name != "teach"})


def test_unknown_recipe_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="townhouses-cf_gan"):
        load("townhouse-cf_gan")
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"recipes": {"mine": SMALL}}))
    assert load(f"{tmp_path / 'p.yaml'}#recipes.mine") == Recipe.from_values(SMALL)
    with pytest.raises(RecipeError, match="mine"):
        load(f"{tmp_path / 'p.yaml'}#recipes.min")


def test_yaml_that_makes_objects_is_refused() -> None:
    with pytest.raises(RecipeError, match="YAML"):
        Recipe.parse("name: !!python/object/apply:os.system ['true']")


def test_settings_replace_single_values() -> None:
    recipe = Recipe.from_values(SMALL).override(["search.population=12", "seed=3", "budget.macs=1/4"])
    assert recipe.search["population"] == 12
    assert recipe.seed == 3
    assert recipe.budget.resolve({"macs": 100.0}) == {"macs": 25.0}
    with pytest.raises(RecipeError, match="--set must be KEY=VALUE"):
        recipe.override(["seed"])
    with pytest.raises(RecipeError, match="must name a value in a section"):
        recipe.override(["seed.x=1"])


def test_shares_and_numbers_become_limits() -> None:
    limits = BudgetSection(macs="12.5%", params=1000)
    assert limits.resolve({"macs": 800.0, "params": 5.0}) == {"macs": 100.0, "params": 1000.0}
    assert [share(text) for text in ("1/8", "50%", "1", "0", "x", "3/2", "1/0")] == [0.125, 0.5, 1.0, *[None] * 4]


def test_epochs_become_updates() -> None:
    assert Schedule(epochs=2, batch=4).steps(10) == 5
    assert Schedule(updates=7, batch=4).steps(10) == 7


def test_a_renamed_key_is_answered_with_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED, "teach.epoches", "teach.epochs: 3")
    monkeypatch.setitem(RENAMED, "search.generations", "search.evaluations: 100")
    with pytest.raises(RecipeError, match=r"no key 'teach.epoches'; got 3; teach.epoches is now teach.epochs: 3"):
        Recipe.from_values({**SMALL, "teach": {"updates": 1, "epoches": 3}})
    recipe = Recipe.from_values({**SMALL, "supernet": {"updates": 1}, "search": {"generations": 3}})
    with pytest.raises(RecipeError, match=r"search.generations is now search.evaluations: 100"):
        open_method(recipe.method).check(recipe)


@pytest.mark.parametrize("key", RENAMED)
def test_the_new_name_of_a_key_is_given_with_its_form(key: str) -> None:
    assert all(part.isidentifier() for part in key.split("."))
    assert isinstance(yaml.safe_load(RENAMED[key]), dict)
