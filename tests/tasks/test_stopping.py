"""Originals that are trained until they stop improving, of every task: what is measured, kept, resumed and refused."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair, whole
from slimgen.data.prepared import Prepared
from slimgen.device import choose
from slimgen.errors import RecipeError
from slimgen.metrics.evaluator import Evaluator
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.log import Log
from slimgen.stages.checking import wanted
from slimgen.stages.code import code
from slimgen.stages.fingerprint import fingerprint, sections, texts
from slimgen.stages.table import STAGES, measuring
from slimgen.tasks import check_recipe, open_task, task_class
from slimgen.tasks.stopping import metric_of
from slimgen.tasks.task import Job
from slimgen.training.fit import Journal
from tests.quiet import quiet
from townhouses import write

TEACH = STAGES["teach"]
CPU = choose("fp32", "cpu")
HERE = Path(__file__).parent
RECIPES = {
    "paired": HERE.parent / "stages" / "tiny.yaml",
    "unpaired": HERE / "tiny_unpaired.yaml",
    "images": HERE / "tiny_unconditional.yaml",
    "labels": HERE.parent / "methods" / "tiny_gaugan.yaml",
}
LATE = ["teach.patience=null", "teach.check_every=null", "teach.metric=null"]
PAIRS = ("paired", "labels")
EARLY = ["teach.updates=14", "teach.patience=1", "teach.check_every=2", "teach.rate=2.0e-3", "teach.decay=0.5"]


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> Path:
    """A feature network that returns the images, which are then averaged."""
    path = tmp_path_factory.mktemp("features") / "colours.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(nn.Identity(), torch.zeros(1, 3, 16, 16)), path)
    return path


def plain(layout: str, colours: Path) -> Recipe:
    settings = [f"evaluate.features={{colours: {{path: {colours}}}}}"]
    settings += [] if layout in PAIRS else ["evaluate.metrics=['fd:colours']"]
    return Recipe.parse(RECIPES[layout].read_text()).override(settings)


@pytest.fixture(scope="module", params=RECIPES)
def given(request, colours, tmp_path_factory) -> tuple[Recipe, Path]:
    """A recipe of each task that stops early, and its images, prepared."""
    folder, layout = tmp_path_factory.mktemp(request.param), request.param
    recipe = plain(layout, colours).override([*EARLY, *([] if layout in PAIRS else ["teach.metric=fd:colours"])])
    recipe = recipe.override(["teach.ema=0.5"]) if layout == "images" else recipe
    write(folder / "in", seed=0, train=16, test=3, size=max(32, *recipe.size), layout=layout)
    (folder / "prepare").mkdir()
    task_class(recipe.task).prepare(recipe, folder / "in", folder / "prepare", lambda done, total: None)
    return recipe, folder / "prepare"


def teach(recipe: Recipe, prepared: Path, out: Path, stop: int | None = None) -> dict[str, float]:
    """Trains an original, to its end or until a step."""

    def progress(done: int, total: int, values: Mapping[str, float]) -> None:
        if done == stop:
            raise InterruptedError

    out.mkdir(exist_ok=True)
    journal = Journal(Checkpoints(out / "kept", "mark"), Log(out / "log.jsonl"), progress, log_every=3, seconds=0)
    data, task = Prepared.open(prepared), open_task(recipe, CPU)
    return dict(task.teach(Job(recipe, CPU, task, data, {"prepare": prepared}, out, lambda name: journal, quiet)))


def made(task, net: nn.Module, inputs: Tensor) -> Tensor:
    return net(task.condition(inputs))


def values(recipe: Recipe, prepared: Path, out: Path) -> list[float]:
    """What the objective says of the weights that were left, each direction by itself."""
    data, task, metric = Prepared.open(prepared), open_task(recipe, CPU), metric_of(recipe)
    job = Job(recipe, CPU, task, data, {"prepare": prepared}, out, lambda name: Journal(), quiet)
    if recipe.task == "unpaired":
        val = whole(data.split("val"))
        images = {"generator": val, "reverse_generator": Pair(val.target, val.input)}
    else:  # of noise, candidates of a search are measured on the same
        searched = replace(job, recipe=recipe.override([f"objective.metric={metric}"]))
        images = {"generator": open_task(searched.recipe, CPU).validation(searched)}
    found = []
    for name, pair in images.items():
        net = task.generator()
        net.load_state_dict(load_weights(out / f"{name}.safetensors"))
        evaluator = Evaluator(pair, [metric], compute=CPU, features=recipe.evaluate.features)
        net.eval()
        found.append(evaluator.measure(partial(made, task, net))[metric])
    return found


@pytest.fixture(autouse=True)
def _few_batches_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimgen.tasks.unconditional.SETTLED", 3)


def test_the_weights_that_are_left_are_the_best_by_the_objective(given, tmp_path) -> None:
    recipe, prepared = given
    facts = teach(recipe, prepared, tmp_path / "out")
    checks = {
        one["step"]: one["validation"] for one in Log(tmp_path / "out" / "log.jsonl").read() if "validation" in one
    }
    better, value = max if metric_of(recipe) == "psnr" else min, facts[f"val_{metric_of(recipe)}"]
    assert value == checks[facts["best_update"]] == better(checks.values())
    found = values(recipe, prepared, tmp_path / "out")
    assert sum(found) / len(found) == pytest.approx(value, rel=1e-6)
    assert facts["best_update"] <= facts["updates"] == max(checks) <= 14
    assert len(checks) > 1


def test_a_training_that_was_killed_ends_with_the_same_bits_and_facts(given, tmp_path) -> None:
    recipe, prepared = given
    whole_facts = teach(recipe, prepared, tmp_path / "whole")
    stops = (1, 4, int(whole_facts["updates"])) if recipe.task != "labels" else (4,)  # whose networks take long
    for stop in stops:
        out = tmp_path / str(stop)
        with pytest.raises(InterruptedError):
            teach(recipe, prepared, out, stop)
        assert teach(recipe, prepared, out) == whole_facts
        for left in (tmp_path / "whole").glob("*.safetensors"):
            one, two = load_weights(left), load_weights(out / left.name)
            assert all(torch.equal(one[name], two[name]) for name in one), (stop, left.name)
        assert (out / "log.jsonl").read_text() == (tmp_path / "whole" / "log.jsonl").read_text()


def test_without_patience_nothing_is_measured_and_noise_learns_from_all_images(given, tmp_path, monkeypatch) -> None:
    recipe, prepared = given
    late = recipe.override(LATE)
    facts = teach(late, prepared, tmp_path / "late")
    assert set(facts) == {"updates", "params"}
    assert facts["updates"] == 14
    if recipe.task == "unconditional":
        counts = {}
        for name, one in (("late", late), ("early", recipe)):
            epochs = one.override(["teach.updates=null", "teach.epochs=8", "teach.decay=1"])
            epochs = epochs.override(["teach.patience=50"]) if name == "early" else epochs
            counts[name] = teach(epochs, prepared, tmp_path / f"{name}-epochs")["updates"]
        assert counts == {"late": 16, "early": 12}  # of 16 images, and of the 12 that are not measured on


def test_the_objective_decides_the_original_where_it_stops_early_and_only_there(given) -> None:
    recipe, _ = given
    late = recipe.override(LATE)
    assert {"objective", "evaluate.features"} <= set(sections(TEACH, recipe))
    assert {"objective", "evaluate.features"}.isdisjoint(sections(TEACH, late))
    fewer = ["objective.images=2"]
    marks = [
        fingerprint(TEACH, one, {"prepare": "a digest"}, {})
        for one in (recipe, recipe.override(fewer), late, late.override(fewer))
    ]
    assert marks[0] != marks[1]
    assert marks[2] == marks[3]
    used = set(texts(recipe.model_dump(mode="json")))
    measures = [any("slimgen.metrics." in name for name in code(stage, used)) for stage in (TEACH, measuring(TEACH))]
    assert measures == [False, True]


@pytest.mark.parametrize("layout", ["unpaired", "images"])
def test_early_stopping_without_targets_refuses_a_metric_of_single_images(layout: str, colours: Path) -> None:
    recipe = plain(layout, colours)
    for settings, named in (([], "objective"), (["teach.metric=ssim", "objective.metric=fd:colours"], "teach")):
        rule = (
            rf"teach\.patience needs a metric of whole sets.*got {named}\.metric (psnr|ssim); set teach\.metric to fid"
        )
        with pytest.raises(RecipeError, match=rule):
            check_recipe(recipe.override([*EARLY, *settings]))
    check_recipe(recipe.override([*EARLY, "objective.metric=fd:colours"]))
    check_recipe(recipe)


def test_the_metric_of_early_stopping_is_checked_like_every_other(colours: Path) -> None:
    recipe = plain("paired", colours).override([*EARLY, "teach.metric=fd:mine"])
    with pytest.raises(RecipeError, match="fd:mine needs a feature network"):
        wanted(recipe)
    assert wanted(recipe.override(["teach.metric=fd:colours"]))["fd:colours"] is None


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (["teach.patience=2"], "set both or neither"),
        (["teach.check_every=2"], "set both or neither"),
        (["teach.patience=2", "teach.check_every=6"], "must be below 'updates', which is 6"),
        (["teach.patience=0", "teach.check_every=2"], "must be at least 1"),
        (["teach.patience=2", "teach.check_every=2", "teach.generator_checkpoint=a.pt"], "the original is imported"),
        (["teach.metric=ssim"], "'metric' needs 'patience'"),
        (["finetune.patience=2"], "no key 'finetune.patience'"),
    ],
)
def test_a_rule_without_an_effect_is_refused(settings: list[str], rule: str) -> None:
    with pytest.raises(RecipeError, match=rule):
        Recipe.parse(RECIPES["paired"].read_text()).override(settings)
