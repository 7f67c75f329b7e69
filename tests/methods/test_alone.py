"""The search `halving` of every method: counted, within the budget, resumed to the same bits, its winner kept."""

import copy
import json
import shutil
from pathlib import Path

import pytest

from slimgen import stages
from slimgen.errors import RecipeError
from slimgen.methods import open_method
from slimgen.methods.halving import rungs
from slimgen.methods.handing import handed_over
from slimgen.nets import generator_cost
from slimgen.recipe import Recipe
from slimgen.stages.fingerprint import sections
from slimgen.stages.table import STAGES
from slimgen.training import fit
from tests.methods.alphagan_runs import tiny_features
from tests.quiet import quiet
from townhouses import write

HERE = Path(__file__).parent
HALVING = [
    "compute.checkpoint_seconds=0.0001",
    "search={kind: halving, candidates: 3, proposed: 1}",
    "finetune.updates=4",
    "finetune.rivals=[]",
]
SCRATCH = ["supernet.updates=0", "finetune.inherit=false"]
SETTINGS = {
    "cf_gan": [*SCRATCH, "finetune.ema=0.9"],
    "gan_compression": [*SCRATCH, "size=16"],
    "co_evolution": ["finetune.ema=0.9"],
    "cyclegan_nas": [
        "supernet={updates: 0, cells: 2}",
        "search={kind: halving, candidates: 3, proposed: 1, hidden: 4, discriminators: original, repeats: 2}",
    ],
    "alphagan": [
        "supernet={iterations: 0, channels: 4}",
        "objective.metric=fd:tiny",
        "budget={params: 4/5}",
        "finetune.ema=null",
    ],
}
PICTURES = {
    "paired": {"train": 8, "layout": "paired"},
    "unpaired": {"train": 6, "night": 7, "layout": "unpaired"},
    "unconditional": {"train": 16, "layout": "images"},
}
TRAINED = 2 * (4 * 2 + 2 * 2)  # pictures of batches of two: four candidates until their second update, two to the end


def recipe_of(method: str) -> Recipe:
    file = HERE.parent / "stages" / "tiny.yaml" if method == "cf_gan" else HERE / f"tiny_{method}.yaml"
    return Recipe.parse(file.read_text()).override([*HALVING, *SETTINGS[method], "finetune.batch=2"])


@pytest.fixture(scope="module", params=SETTINGS)
def method(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def recipe(method, tmp_path_factory) -> Recipe:
    if method != "alphagan":
        return recipe_of(method)
    return recipe_of(method).override(tiny_features(tmp_path_factory.mktemp("features") / "tiny.pt"))


@pytest.fixture(scope="module")
def images(method, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder, seed=0, test=3, size=32, **PICTURES[recipe_of(method).task])
    return folder


@pytest.fixture(scope="module")
def whole(untracked, recipe, images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    stages.run(recipe, data=images, out=out, until="finetune", progress=quiet)
    return out


def read(run: Path, name: str) -> dict:
    return json.loads((run / name).read_text())


def trials(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "search" / "trials.jsonl").read_text().splitlines()]


def test_the_better_half_of_random_and_proposed_genotypes_continues(method, whole) -> None:
    found, every = read(whole, "search/genotype.json"), trials(whole)
    steps = [trial["step"] for trial in every]
    assert rungs(3, 4) == [(3, 2), (2, 4)]
    assert steps == ["halving-2"] * 3 + ["proposed0-2"] + ["halving-4"] * 2
    assert len({trial["key"] for trial in every[:4]}) == 4
    goal = 1 if found["objective"]["goal"] == "max" else -1
    metric = found["objective"]["metric"]

    def best(some: list[dict], count: int) -> set[str]:
        return {one["key"] for one in sorted(some, key=lambda one: -goal * one["quality"][metric])[:count]}

    assert best(every[:4], 2) == {trial["key"] for trial in every[4:]}
    assert best(every[4:], 1) == {found["key"]}
    for kind, limit in found["limits"].items():
        assert all(trial["costs"][kind] <= limit for trial in every)


def test_effort_counts_every_candidate_once(method, whole) -> None:
    metrics, about = read(whole, "search/stage.json")["metrics"], read(whole, "finetune/networks.json")
    assert (metrics["updates"], metrics["pictures"]) == (0, TRAINED)
    assert metrics["evaluations"] == 6
    effort, size = about["found"]["effort"], recipe_of(method).size
    taught = {"co_evolution": (3, 3 * 2)}.get(method, (0, 0))  # its original is what it compresses
    again = {"cyclegan_nas": 4 * 2}.get(method, 0)  # its second training, from another seed
    assert (effort["updates"], effort["pictures"]) == (taught[0] + 4, taught[1] + TRAINED + again)
    for name, found in about.items():
        if name.startswith("found"):
            costs = generator_cost(found["family"], *size, **found["options"])
            reverse = "reverse_" * name.endswith("_reverse")
            assert costs.params == read(whole, "search/stage.json")["metrics"][f"{reverse}params"]


def test_the_winner_equals_the_result_of_fine_tuning_it(method, recipe, whole, tmp_path, monkeypatch) -> None:
    folders = {name: whole / name for name in STAGES["finetune"].reads}
    asked = []

    def refused(job, nets) -> bool:
        asked.append(handed_over(job, copy.deepcopy(nets)))
        return False

    monkeypatch.setattr(open_method(method), "handed_over", refused)
    stages.finetune(recipe, **folders, out=tmp_path / "finetune", progress=quiet)
    assert asked == [True]
    names = [path.name for path in (whole / "finetune").glob("found*.safetensors")]
    assert len(names) == (2 if method in ("co_evolution", "cyclegan_nas") else 1)
    for name in names:
        assert (tmp_path / "finetune" / name).read_bytes() == (whole / "finetune" / name).read_bytes()
    pictures = [read(run, "finetune/networks.json")["found"]["effort"]["pictures"] for run in (whole, tmp_path)]
    assert pictures[1] - pictures[0] == 4 * 2


@pytest.mark.parametrize("method", ["gan_compression"], indirect=True)
def test_a_winner_of_other_settings_is_trained_again(recipe, whole, tmp_path, monkeypatch) -> None:
    folders = {name: whole / name for name in STAGES["finetune"].reads}

    def untrained(*arguments, **how) -> None:
        raise StoppedError

    monkeypatch.setattr(fit, "_step", untrained)
    for setting in ("finetune.rate=0.001", "finetune.updates=5", "seed=1", "supernet.distill=2"):
        with pytest.raises(StoppedError):
            stages.finetune(recipe.override([setting]), **folders, out=tmp_path / setting, progress=quiet)
    other = recipe.override(["search.proposed=2"])  # of which no training depends
    stages.finetune(other, **folders, out=tmp_path / "same", progress=quiet)


class StoppedError(Exception):
    pass


def test_a_search_stopped_during_its_trainings_ends_with_the_same_bits(
    method, recipe, images, whole, tmp_path, monkeypatch
) -> None:
    run = tmp_path / "run"
    step, phases = fit._step, 3 if method == "alphagan" else 2  # its discriminator takes two steps
    for stage in ("prepare", "teach", "supernet"):
        shutil.copytree(whole / stage, run / stage)
    left = iter(range(8 * phases + 1))  # four candidates of two updates; then it is amid the last rung

    def taken(*given) -> None:
        if next(left, None) is None:
            raise StoppedError
        step(*given)

    monkeypatch.setattr(fit, "_step", taken)
    with pytest.raises(StoppedError):
        stages.run(recipe, data=images, out=run, until="search", progress=quiet)
    monkeypatch.undo()
    measured = (run / "search" / "cache.jsonl").read_bytes()
    assert measured.count(b"\n") == 4
    stages.run(recipe, data=images, out=run, until="search", progress=quiet)
    assert (run / "search" / "cache.jsonl").read_bytes().startswith(measured)
    for name in ("search/genotype.json", "search/trials.jsonl", "search/trained.safetensors"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    assert not list((run / "search").glob("trained-*"))


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("co_evolution", ["finetune.updates=0"], "finetune.updates 0"),
        ("co_evolution", ["search.population=4"], "search.population needs another search.kind"),
        ("co_evolution", ["search={kind: magnitude, candidates: 4}"], "search.candidates needs search.kind halving"),
        ("cyclegan_nas", ["supernet.updates=4"], "supernet.updates to 0"),
        ("cyclegan_nas", ["search={kind: gradient}"], "supernet.updates 0"),
        (
            "cyclegan_nas",
            ["search={kind: random, proposed: 4}", "supernet.updates=4"],
            "search.proposed needs",
        ),
        ("alphagan", ["supernet.iterations=2"], "supernet.iterations to 0"),
        ("alphagan", ["objective.metric=psnr"], "whole sets"),
        ("alphagan", ["search.random=2"], "search.random needs another search.kind"),
    ],
)
def test_settings_that_contradict_halving_are_refused(method, settings, said) -> None:
    with pytest.raises(RecipeError, match=said):
        open_method(method).check(recipe_of(method).override(settings))


@pytest.mark.parametrize("method", SETTINGS)
def test_the_search_depends_on_the_settings_of_its_candidates_training(method) -> None:
    found = sections(STAGES["search"], recipe_of(method))
    assert {"finetune.updates", "finetune.rate", "finetune.decay", "finetune.ema"} <= set(found)
    assert ("finetune.inherit" in found) == (method == "co_evolution")
    assert ("finetune.discriminator_steps" in found) == (method == "alphagan")
