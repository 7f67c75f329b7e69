"""What a run says before it begins."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.expenses import PLACE, macs_of, rate
from slimgen import stages
from slimgen.cli.app import app
from slimgen.errors import BudgetError
from slimgen.methods import open_method
from slimgen.nets import discriminator_cost, generator_cost
from slimgen.nets.cf_gan.space import Shape, trellis_cost, trellis_space
from slimgen.recipe import Recipe, load, presets
from slimgen.run.place import parked
from slimgen.stages import preview
from slimgen.stages.outlook import Outlook, without_effect
from slimgen.stages.quick import quick
from slimgen.stages.table import STAGES
from tests.quiet import quiet

TINY = Recipe.parse((Path(__file__).parent / "tiny.yaml").read_text())


@pytest.fixture(scope="module")
def taught(images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    stages.run(TINY, data=images, out=out, until="teach", progress=quiet)
    return out


def states(outlook: Outlook) -> dict[str, str]:
    return dict(outlook.stages)


def test_a_new_run_does_every_stage_and_writes_nothing_yet(images: Path, tmp_path: Path) -> None:
    outlook = preview(TINY, data=images, out=tmp_path / "run")
    assert states(outlook) == {
        name: "to do" if name == "prepare" else f"to do after {stage.reads[0]}" for name, stage in STAGES.items()
    }
    assert outlook.recipe == TINY.model_dump(mode="json")
    assert not (tmp_path / "run").exists()
    nowhere = preview(TINY, data=tmp_path / "nowhere", out=tmp_path / "run")
    assert nowhere.wanted["images"] == f"no folder {tmp_path / 'nowhere'}"
    assert states(nowhere)["prepare"] == "to do after data"


def test_stages_are_finished_resumed_or_replace_others(images: Path, taught: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(taught, out)
    assert states(preview(TINY, data=images, out=out, until="supernet")) == {
        "prepare": "done",
        "teach": "done",
        "supernet": "to do",
    }
    other = TINY.override(["teach.updates=7"])
    assert states(preview(other, data=images, out=out, until="teach"))["teach"] == (
        "to do, in place of a finished teach of other settings, which is kept"
    )
    beside = parked(out / "teach", json.loads((out / "teach" / "stage.json").read_text())["fingerprint"])
    (out / "teach").rename(beside)
    assert states(preview(TINY, data=images, out=out))["teach"] == "done earlier with these settings, and restored"
    beside.rename(out / "teach")
    record = json.loads((out / "teach" / "stage.json").read_text())
    (out / "teach" / "stage.json").write_text(json.dumps({**record, "finished": False}))
    assert states(preview(TINY, data=images, out=out))["teach"] == "resumed"
    (out / "teach" / "stage.json").write_text(json.dumps({**record, "layout": 1}))
    refused = states(preview(TINY, data=images, out=out))["teach"]
    assert refused.startswith("refused: ")
    assert "written by an earlier slimgen; it is kept" in refused


def test_updates_and_macs_are_those_of_the_closed_form(images: Path, taught: Path) -> None:
    outlook = preview(TINY, data=images, out=taught)
    generator = generator_cost("resnet", 16, 16, ngf=8, blocks=1)
    discriminator = discriminator_cost("patchgan", 16, 16, ndf=4, layers=2, inputs=6)
    teach = outlook.expenses["teach"]
    assert teach.updates == 6
    assert teach.macs == 6 * 2 * 3 * (generator.exact + 3 * discriminator.exact)
    assert teach.bytes == generator.bytes + discriminator.bytes
    assert outlook.expenses["supernet"].updates == 8
    assert outlook.expenses["prepare"].bytes == 15 * 2 * 3 * 16 * 16
    assert outlook.evaluations == 4 + TINY.search["evaluations"] + 1  # and the even widths of the best operators


def each(outlook: Outlook, cost: float) -> float:
    """The MACs of learning of one picture, of a generator that costs so many."""
    discriminator = discriminator_cost("patchgan", 16, 16, ndf=4, layers=2, inputs=6)
    return 3 * (cost + 3 * discriminator.exact)


def test_macs_hold_all_that_the_search_trains_and_all_rivals(images: Path, taught: Path) -> None:
    plain = preview(TINY.override(["finetune.rivals=[]"]), data=images, out=taught)
    within, looked = each(plain, plain.budget["macs"]), plain.expenses["search"].macs
    assert plain.expenses["finetune"].macs == pytest.approx(2 * 4 * within)
    space = trellis_space(Shape(4, 3, 1, (0.25, 0.5, 0.75, 1.0)))
    largest = trellis_cost(Shape(4, 3, 1, (0.25, 0.5, 0.75, 1.0)), space.largest(), 16, 16).exact
    assert plain.expenses["supernet"].macs == pytest.approx(2 * 8 * 3 * each(plain, largest))  # three operators at once

    def of(*settings: str) -> dict[str, float]:
        expenses = preview(TINY.override([*settings]), data=images, out=taught).expenses
        return {name: expenses[name].macs for name in ("supernet", "search", "finetune")}

    more = of("search.tune=2", "search.training={updates: 6, batch: 2}", "search.finalists=3", "finetune.rivals=[]")
    tuned, path, finalists = 46 * 2 * 2, 6 * 2 * 3, 2 * (3 * 2 + 2 * 2)
    assert more["search"] == pytest.approx(looked + (tuned + path + finalists) * within)
    rivals = of("finetune.rivals=[narrowed, random, random_path]", "finetune.random=2")
    assert rivals["finetune"] == pytest.approx(2 * (4 + 5 * (8 + 4)) * within)
    halving = of("finetune.rivals=[halving]")
    took = halving["supernet"] + 2 * 4 * within  # all that led to the found one
    assert halving["finetune"] == pytest.approx(2 * (4 + 8 + 4) * within + took)
    alone = ["supernet.updates=0", "finetune.inherit=false", "search={kind: halving, candidates: 8, proposed: 3}"]
    candidates = of(*alone, "finetune.rivals=[]")["search"]
    measured = (2 * 4 + 6 + 3) + 4 + 2  # a few of every path, more of one, proposed ones; then their halves
    learned = 17 * 1 + 4 * 1 + 2 * 2  # until updates 1, 2 and 4
    assert candidates == pytest.approx(measured * 4 * largest + 2 * learned * within)


def test_settings_without_effect_without_a_supernet_are_named_and_presets_have_none(
    images: Path, taught: Path, tmp_path: Path, capsys
) -> None:
    alone = ["supernet.updates=0", "finetune.inherit=false", "search={kind: halving, candidates: 2}"]
    said = "without effect, because no supernet is trained: supernet.batch, supernet.gamma_rate, supernet.sparsity"
    recipe = TINY.override([*alone, "finetune.rivals=[]"])
    assert said in preview(recipe, data=images, out=tmp_path).notes
    out = tmp_path / "run"
    shutil.copytree(taught, out)
    stages.run(recipe, data=images, out=out, until="search", progress=quiet)
    assert capsys.readouterr().err.count(said) == 1
    assert not [name for name in presets() if without_effect(load(name))]
    others = {
        "gan_compression": (["supernet={updates: 0, rate: 0.1, prune: false}"], "supernet.prune, supernet.rate"),
        "cyclegan_nas": (["supernet={updates: 0, hidden: 8, cells: 2}"], "supernet.hidden"),
        "alphagan": (["supernet={iterations: 0, channels: 4, batch: 8}"], "supernet.batch"),
        "co_evolution": (["supernet={genome: authors}"], ""),
    }
    for method, (settings, names) in others.items():
        found = without_effect(TINY.override([f"method={method}", "search={kind: halving}", *settings]))
        assert found.rpartition(": ")[2] == names


def test_a_small_space_is_counted_and_a_large_one_estimated(images: Path, tmp_path: Path) -> None:
    recipe = TINY.override(["supernet.ratios=[1.0]", "budget.macs=600000"])
    outlook = preview(recipe, data=images, out=tmp_path)
    assert outlook.space["how"] == "counted"
    assert 0 < outlook.space["within"] < outlook.space["genotypes"]  # type: ignore[operator]
    assert outlook.budget == {"macs": 600_000}
    assert "of 500 drawn at random are" in str(preview(load("townhouses-cf_gan"), data=None, out=tmp_path).space["how"])
    with pytest.raises(BudgetError):
        preview(TINY.override(["budget.macs=100"]), data=images, out=tmp_path)


def test_missing_needs_are_named(images: Path, tmp_path: Path) -> None:
    settings = ["teach.generator_checkpoint=nowhere.pth", "evaluate.metrics=[psnr, 'fd:mine']"]
    recipe = TINY.override([*settings, "evaluate.features={mine: {path: nowhere.pt}}"])
    wanted = preview(recipe, data=images, out=tmp_path).wanted
    assert "nowhere.pth" in str(wanted["nowhere.pth"])
    assert "nowhere.pt" in str(wanted["fd:mine"])
    assert set(wanted) == {"nowhere.pth", "fd:mine"}


@pytest.mark.parametrize("name", presets())
def test_every_preset_has_a_preview(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    outlook = preview(load(name), data=None, out=tmp_path)
    assert list(outlook.stages) == list(STAGES)
    assert outlook.space["genotypes"]
    assert json.loads(PLACE.read_text())["seconds"][name] == round(macs_of(name) / rate())  # what is listed


@pytest.mark.parametrize("name", presets())
def test_every_preset_has_a_trial_run_that_takes_little(name: str, tmp_path: Path) -> None:
    recipe = quick(load(name))
    assert recipe == quick(recipe)
    assert recipe.name == f"{name}-quick"
    assert (recipe.method, recipe.teach.generator) == (load(name).method, load(name).teach.generator)
    method = open_method(recipe.method).preview(recipe)
    assert method.evaluations <= 16
    assert method.updates(100) <= 3 * 4  # of the full pipeline: teacher, student and once-for-all network
    assert method.learned(100) <= 200
    assert all(section.steps(100) <= 4 for section in (recipe.teach, recipe.finetune))
    assert max(recipe.size) <= 128


def test_the_command_prints_it_and_runs_nothing(images: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", "townhouses-cf_gan", "--dry-run"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "name: townhouses-cf_gan" in said.stdout
    assert "teach            1,400" in said.stdout
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert list(told["stages"]) == list(STAGES)
    assert told["recipe"]["task"] == "paired"
    assert list(tmp_path.iterdir()) == []
