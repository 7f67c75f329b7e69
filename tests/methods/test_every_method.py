"""What holds of every method, whatever it searches: one small run of each, and of a user-defined one.

Their images are no squares: most other tests are of squares.
"""

import csv
import inspect
import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image
from torch import nn

from slimgen import stages
from slimgen.cost.count import count
from slimgen.errors import RecipeError, SlimgenError
from slimgen.methods import METHODS, open_method
from slimgen.methods.method import Method
from slimgen.nets import build_generator, generator_cost, noise_length
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe
from slimgen.run.record import read_record
from slimgen.stages.table import STAGES
from tests.quiet import quiet
from townhouses import write

HERE = Path(__file__).parent
ADOPTED = "adopted"
"""Which searches nothing: it takes a generator as it is."""
SIXTH = "examples.own_method"
"""A method of one file that a recipe names by its import path."""

ALONE = "finetune.rivals=[]"
WIDE = ["size=[16, 24]", "data.fit=crop"]
RECIPES = {
    "cf_gan": (
        HERE.parent / "stages" / "tiny.yaml",
        [ALONE, *WIDE, "search={population: 4, elite: 2, evaluations: 16, operator_share: 0.5}"],
    ),
    "gan_compression": (HERE / "tiny_gan_compression.yaml", [ALONE, *WIDE, "search.evaluations=12"]),
    "co_evolution": (HERE / "tiny_co_evolution.yaml", WIDE),
    "pruning": (HERE / "tiny_pruning.yaml", WIDE),
    # Its discriminators halve the image so often that a norm has less than two pixels below 32.
    "cyclegan_nas": (
        HERE / "tiny_cyclegan_nas.yaml",
        [ALONE, "size=32x48", "data.fit=pad", "search.repeats=1", "supernet.cells=2"],
    ),
    "alphagan": (
        HERE / "tiny_alphagan.yaml",
        [ALONE, "size=16x24", "teach.generator.size=16x24", "search={}", "budget={params: 4/5}"],
    ),
    SIXTH: (HERE.parent / "stages" / "tiny.yaml", [ALONE, *WIDE, f"method={SIXTH}", "supernet={}", "search={}"]),
}
"""The smallest run of each method: a recipe, and what is smaller still."""

DRAWN = {
    "paired": {"train": 10, "layout": "paired"},
    "unpaired": {"train": 8, "night": 7, "layout": "unpaired"},
    "unconditional": {"train": 16, "layout": "images"},
}
"""The images of a task."""


class Run(NamedTuple):
    """A run that is finished, and how its stages went."""

    method: str
    recipe: Recipe
    data: Path
    out: Path
    skipped: dict[str, bool]

    def json(self, name: str) -> dict:
        return json.loads((self.out / name).read_text())

    def trials(self) -> list[dict]:
        return [json.loads(line) for line in (self.out / "search" / "trials.jsonl").read_text().splitlines()]


def go(recipe: Recipe, data: Path, out: Path, until: str | None = None, progress=quiet) -> dict[str, bool]:
    """Runs the stages; which of them had been done before."""
    skipped = {}

    def on_stage(name, metrics, seconds, skipped_) -> None:
        skipped[name] = skipped_

    stages.run(recipe, data=data, out=out, until=until, progress=progress, on_stage=on_stage)
    return skipped


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> list[str]:
    """What images of noise are measured by: a network of one layer."""
    path = tmp_path_factory.mktemp("features") / "tiny.pt"
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 3, 5, stride=3), nn.ReLU())
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 16, 24)), path)
    return [f"evaluate.features={{tiny: {{path: {path}}}}}", "evaluate.metrics=['fd:tiny']"]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> dict[str, Path]:
    folders = {task: tmp_path_factory.mktemp(task) for task in DRAWN}
    for task, how in DRAWN.items():
        write(folders[task], seed=0, test=3, size=32, **how)
    return folders


@pytest.fixture(scope="module", params=[*(name for name in METHODS if name != ADOPTED), SIXTH])
def method(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def recipe(method, features) -> Recipe:
    path, settings = RECIPES[method]
    # Exporting for every size takes longer than all of a tiny search.
    found = Recipe.parse(path.read_text()).override([*settings, "export.dynamic=false"])
    return found.override(features) if found.task == "unconditional" else found


@pytest.fixture(scope="module")
def finished(method, recipe, images, tmp_path_factory) -> Run:
    # A folder deeper than those of the other runs, which would otherwise be its neighbours, and taken over from.
    data, out = images[recipe.task], tmp_path_factory.mktemp(method) / "run"
    return Run(method, recipe, data, out, go(recipe, data, out))


def test_its_module_has_all_functions_of_a_method(method) -> None:
    wanted = {name: value for name, value in vars(Method).items() if inspect.isfunction(value) and name[0] != "_"}
    assert set(wanted) == {"check", "supernet", "search", "finetune"}
    for name, value in wanted.items():
        _, *parameters = inspect.signature(value).parameters
        assert list(inspect.signature(getattr(open_method(method), name)).parameters) == parameters


@pytest.mark.parametrize("part", ["supernet", "search"])
def test_an_unknown_key_of_its_sections_is_refused_in_one_line(method, recipe, part) -> None:
    check = open_method(method).check
    check(recipe)
    with pytest.raises(RecipeError, match=f"{part} has no key 'sideways'") as refused:
        check(recipe.override([f"{part}.sideways=1"]))
    assert "\n" not in str(refused.value)


def test_all_stages_run_once_and_leave_a_generator_beside_the_original(finished) -> None:
    assert finished.skipped == dict.fromkeys(STAGES, False)
    for stage in STAGES:
        record = read_record(finished.out / stage)
        assert record["finished"]
        assert "copied_from" not in record
    rows = {row["name"]: row for row in finished.json("evaluate/table.json")["rows"]}
    assert {"original", "found"} <= set(rows)
    assert rows["found"]["metrics"].keys() == set(finished.recipe.evaluate.metrics)
    assert (finished.out / "export" / "generator.onnx").stat().st_size > 0


def test_every_direction_that_was_found_is_exported_with_a_card_of_its_own(finished) -> None:
    networks, export = finished.json("finetune/networks.json"), finished.out / "export"
    suffixes = ["", "_reverse"] if "found_reverse" in networks else [""]
    assert (finished.method == "co_evolution") <= (len(suffixes) == 2)
    found = {path.name for path in export.glob("*.onnx")}
    cards = [finished.json(f"export/card{suffix}.json") for suffix in suffixes]
    assert found == {one["file"] for card in cards for one in card["variants"]}
    for suffix in suffixes:
        card = finished.json(f"export/card{suffix}.json")
        assert card["onnx"]["path"] == f"generator{suffix}.onnx"
        assert card["parity"]["max_abs"] <= card["parity"]["tolerance"]
        plain, *others = card["variants"]
        assert plain["file"] == f"generator{suffix}.onnx"
        assert all(one["quality"].keys() == plain["quality"].keys() != set() for one in others)
        assert all(one["max_abs"] < 0.05 for one in others if one["name"] == "fp16")
        assert f"found{suffix}" in card["quality"]
        assert all(row.endswith("_reverse") == bool(suffix) for row in card["quality"])
        params = finished.json("evaluate/table.json")["rows"]
        assert card["cost"]["params"] == next(row["params"] for row in params if row["name"] == f"found{suffix}")
    directions = {finished.json(f"export/card{suffix}.json")["data"].get("direction") for suffix in suffixes}
    assert len(directions) == len(suffixes)


def test_the_search_leaves_the_winner_all_trials_the_front_and_a_drawing(finished) -> None:
    folder, keys = finished.out / "search", {trial["key"] for trial in finished.trials()}
    with (folder / "pareto.csv").open(newline="") as file:
        front = [row["key"] for row in csv.DictReader(file)]
    assert len(set(front)) == len(front) > 0
    assert set(front) <= keys
    assert finished.json("search/stage.json")["metrics"]["pareto"] == len(front)
    for name in ("architecture", "pareto"):
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.convert("L").getextrema()[0] < 255  # not a blank sheet


def test_the_found_genotype_is_among_the_trials_and_keeps_the_budget(finished) -> None:
    outcome = finished.json("search/genotype.json")
    limits, *_ = (outcome.pop(goal) for goal in ("limits", "objective", "measured", "steps"))
    assert outcome in finished.trials()
    budget = finished.recipe.budget.model_dump(exclude_none=True, exclude={"convention"})
    assert limits.keys() == budget.keys()
    assert all(outcome["costs"][name] <= limit for name, limit in limits.items())
    if finished.method == "cyclegan_nas":  # whose budget is the plain CycleGAN: its two generators together
        original = generator_cost(**finished.recipe.size._asdict(), **finished.recipe.teach.generator)
        assert finished.json("search/stage.json")["metrics"]["total_params"] <= 2 * original.params
    else:
        assert limits


def test_the_found_generator_is_rebuilt_and_its_costs_equal_the_closed_form(finished) -> None:
    size, about = finished.recipe.size, finished.json("finetune/networks.json")["found"]
    net = build_generator(about["family"], **about["options"]).eval()
    net.load_state_dict(load_weights(finished.out / "finetune" / "found.safetensors"))
    latent = noise_length(about["family"], **about["options"])
    shown = torch.zeros(1, 3, *size) if latent is None else torch.zeros(1, latent)
    with torch.no_grad():
        assert net(shown).shape == (1, 3, *size)
    counted = count(net, shown)
    assert counted == generator_cost(about["family"], *size, **about["options"])
    assert counted.as_dict(finished.recipe.budget.convention) == finished.json("search/genotype.json")["costs"]


def test_the_same_command_again_computes_nothing(finished) -> None:
    def records() -> dict[str, bytes]:
        return {stage: (finished.out / stage / "stage.json").read_bytes() for stage in STAGES}

    before, told = records(), []
    again = go(finished.recipe, finished.data, finished.out, progress=lambda *progress: told.append(progress))
    assert again == dict.fromkeys(STAGES, True)
    assert records() == before  # the seconds of each stage among them
    assert told == []


def test_the_same_recipe_in_another_folder_ends_with_the_same_bits(finished, tmp_path) -> None:
    elsewhere = tmp_path / "run"
    go(finished.recipe, finished.data, elsewhere, until="finetune")
    assert all("copied_from" not in read_record(elsewhere / stage) for stage in list(STAGES)[:5])
    for name in ("search/genotype.json", "search/trials.jsonl", "finetune/networks.json", "finetune/found.safetensors"):
        assert (elsewhere / name).read_bytes() == (finished.out / name).read_bytes()


def test_another_seed_gives_another_supernet(finished, tmp_path) -> None:
    elsewhere = tmp_path / "run"
    go(finished.recipe.override(["seed=1"]), finished.data, elsewhere, until="supernet")
    one, other = (
        {path.name: path.read_bytes() for path in (out / "supernet").glob("*.safetensors")}
        for out in (finished.out, elsewhere)
    )
    assert one.keys() == other.keys() != set()
    assert all(one[name] != other[name] for name in one)


def test_a_method_without_its_line_is_not_known(monkeypatch) -> None:
    monkeypatch.delitem(METHODS, "cf_gan")
    with pytest.raises(RecipeError, match="unknown method; got 'cf_gan'"):
        open_method("cf_gan")


@pytest.mark.parametrize("name", ["examples.no_method", "no.method:Name"])
def test_a_user_defined_method_that_cannot_be_imported_says_where_to_put_it(name) -> None:
    with pytest.raises(RecipeError, match=f"user-defined method .* got '{name}' .* set PYTHONPATH"):
        open_method(name)


@pytest.mark.parametrize("method", [SIXTH], indirect=True, scope="module")
def test_the_sixth_method_tries_every_width_within_the_budget(finished) -> None:
    original, size = finished.recipe.teach.generator, finished.recipe.size
    limit = generator_cost(**size._asdict(), **original).exact / 4
    widths = {trial["genotype"]["ngf"] for trial in finished.trials()}
    costs = {ngf: generator_cost(**size._asdict(), **{**original, "ngf": ngf}).exact for ngf in range(1, 9)}
    assert widths == {ngf for ngf, cost in costs.items() if cost <= limit}
    assert 1 < len(widths) < len(costs)


def test_sixteen_pixels_are_too_few_for_the_discriminators_of_cyclegan_nas() -> None:
    path, settings = RECIPES["cyclegan_nas"]
    recipe = Recipe.parse(path.read_text()).override([*settings, "size=16"])
    with pytest.raises(SlimgenError, match="at least 32 pixels"):
        open_method("cyclegan_nas").check(recipe)
