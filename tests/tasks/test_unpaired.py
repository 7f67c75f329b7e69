"""Two sets of images from folder to report: originals both ways, pseudo-pairs, and what true partners are used for."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from slimgen import stages
from slimgen.data.batches import Pair, whole
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.errors import CheckpointError, DataError, RecipeError
from slimgen.methods import open_method
from slimgen.methods.candidates import Candidates
from slimgen.methods.trials import Setup
from slimgen.nets.gan_compression.once_for_all import OnceForAll
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe
from slimgen.search import Genotype
from slimgen.tasks import open_task
from slimgen.tasks.gan import GanTraining, original_guidance
from slimgen.tasks.task import Job
from slimgen.training.fit import Memo
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_unpaired.yaml").read_text())
CPU = Compute(torch.device("cpu"), channels_last=False)
CF_GAN = [
    "method=cf_gan",
    "supernet={ngf: 4, groups: 2, blocks: 1, ndf: 4, updates: 4, batch: 2, sparsity: 0.1, gamma_rate: 0.01}",
    "search={population: 4, elite: 2, evaluations: 17, operator_share: 0.53}",
]
FULL = [
    "supernet.pipeline=full",
    "supernet.teacher={ngf: 4, updates: 2, batch: 2}",
    "supernet.student={updates: 2, batch: 2}",
]
ORIGINALS = {"generator", "discriminator", "reverse_generator", "reverse_discriminator"}


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder, seed=0, train=9, night=7, test=3, size=32, layout="unpaired")
    return folder


@pytest.fixture(scope="module")
def taught(images, tmp_path_factory) -> Path:
    """Prepared images and originals by day to night."""
    out = tmp_path_factory.mktemp("run")
    stages.run(TINY, data=images, out=out, until="teach", progress=quiet)
    return out


def job(taught: Path, recipe: Recipe = TINY, **inputs: Path) -> Job:
    data = Prepared.open(taught / "prepare")
    folders = {"teach": taught / "teach", **inputs}
    return Job(recipe, CPU, open_task(recipe, CPU), data, folders, taught, lambda name: None, quiet)


def files(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.safetensors")}


def test_prepare_counts_both_sets_and_teach_leaves_both_directions(taught) -> None:
    counted = json.loads((taught / "prepare" / "stage.json").read_text())["metrics"]
    assert (counted["train_images"], counted["train_targets"], counted["test_targets"]) == (6, 4, 3)
    assert files(taught / "teach") == ORIGINALS
    said = json.loads((taught / "teach" / "stage.json").read_text())["metrics"]
    assert said["updates"] == 4
    assert said["params"] == sum(weight.numel() for weight in open_task(TINY, CPU).generator().parameters())
    generator, discriminator = job(taught).task.reverse(taught / "teach")
    for name, net in (("reverse_generator", generator), ("reverse_discriminator", discriminator)):
        left = load_weights(taught / "teach" / f"{name}.safetensors")
        assert all(torch.equal(weight, left[key]) for key, weight in net.state_dict().items())


def test_an_epoch_shows_every_image_of_the_larger_set(taught, tmp_path) -> None:
    recipe = TINY.override(["teach.updates=null", "teach.epochs=1"])
    assert stages.teach(recipe, prepare=taught / "prepare", out=tmp_path, progress=quiet)["updates"] == 6 / 2


def test_a_missing_import_is_an_error_in_one_line(taught, tmp_path) -> None:
    left = taught / "teach"
    one = [f"teach.{part}_checkpoint={left / part}.safetensors" for part in ("generator", "discriminator")]
    both = [
        *one,
        *(f"teach.reverse_{part}_checkpoint={left / part}.safetensors" for part in ("generator", "discriminator")),
    ]
    for settings, out in ((one, tmp_path / "one"), (both, tmp_path / "both")):
        found = stages.teach(TINY.override(settings), prepare=taught / "prepare", out=out, progress=quiet)
        assert found["updates"] == 0
    assert files(tmp_path / "one") == {"generator", "discriminator"}
    assert files(tmp_path / "both") == ORIGINALS
    there, back = (
        load_weights(tmp_path / "both" / f"{name}.safetensors") for name in ("generator", "reverse_generator")
    )
    assert all(torch.equal(weight, back[name]) for name, weight in there.items())
    with pytest.raises(CheckpointError, match=r"teach\.reverse_generator_checkpoint"):
        job(taught).task.reverse(tmp_path / "one")


def test_the_originals_outputs_are_the_targets_and_real_targets_train_only_the_discriminator(taught) -> None:
    work = job(taught, TINY.override(["losses.perceptual=1"]))
    task, guidance = work.task, original_guidance(work)
    net = task.original(taught / "teach")
    judge = task.discriminator()
    schedule = TINY.finetune
    (generators, discriminators), _ = task.phases(GanTraining("a", net, judge, schedule, 1, guidance=guidance))
    batch = task.batches(work.data, schedule)["train"](0)
    other = Pair(batch.input, -batch.target)
    memos = [Memo(0), Memo(0)]
    one, two = (generators.loss(each, Genotype({}), memo) for each, memo in zip((batch, other), memos, strict=True))
    assert one["recon"] == one["perceptual"] == 0  # the original against itself
    assert {name: value.item() for name, value in one.items()} == {name: value.item() for name, value in two.items()}
    told = [
        discriminators.loss(each, Genotype({}), memo)["loss"].item()
        for each, memo in zip((batch, other), memos, strict=True)
    ]
    assert told[0] != told[1]
    sum(one.values()).backward()
    assert guidance.truth is not None
    assert not guidance.truth(batch).requires_grad
    assert all(weight.grad is not None for weight in net.parameters())


def test_candidates_are_compared_with_the_originals_images_and_never_with_partners(taught) -> None:
    work = job(taught)
    found = work.task.validation(work)
    val = whole(work.data.split("val"))
    with torch.no_grad():
        made = work.task.original(taught / "teach")(val.input)
    assert torch.equal(found.input, val.input)
    assert torch.allclose(found.target, made, atol=1e-6)
    few = job(taught, TINY.override(["objective.images=2"]))
    assert len(few.task.validation(few).target) == 2
    sets = job(taught, TINY.override(["objective.metric=fd:colour"]))
    assert torch.equal(sets.task.validation(sets).target, val.target)


def test_the_search_measures_against_the_originals_images(taught, tmp_path) -> None:
    """A network that is the original in all but name reaches what 8 bits allow."""
    about = TINY.override(["supernet.family=resnet", f"supernet.space={[[6]] * 8}", "supernet.truth=teacher"])
    net = OnceForAll("resnet", ((6,),) * 8, blocks=3)
    net.load_state_dict(load_weights(taught / "teach" / "generator.safetensors"), strict=True)
    work = job(taught, about)
    candidates = Candidates(Job(**{**vars(work), "out": tmp_path}), net.eval())
    trial = candidates.trials([net.space.largest()], Setup("channel"))[0]
    assert trial.quality["psnr"] > 45


def test_a_discriminator_of_pairs_and_the_datas_targets_are_refused() -> None:
    with pytest.raises(RecipeError, match="must be the channels of one image"):
        open_task(TINY.override(["teach.discriminator.inputs=6"]), CPU)
    with pytest.raises(RecipeError, match="no pairs"):
        open_method("gan_compression").check(TINY.override(["supernet.truth=data"]))


def test_images_of_another_task_are_refused(taught, tmp_path) -> None:
    with pytest.raises(DataError, match="two sets"):
        stages.teach(TINY.override(["task=paired"]), prepare=taught / "prepare", out=tmp_path, progress=quiet)


RIVALS = ("narrowed", "naive")


def table(out: Path) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads((out / "evaluate" / "table.json").read_text())["rows"]}


@pytest.mark.parametrize(
    ("settings", "direction"),
    [([], "AtoB"), (FULL, "BtoA"), (CF_GAN, "BtoA")],
    ids=["fast", "full-back", "cf_gan-back"],
)
def test_every_method_compresses_either_direction(settings, direction, images, tmp_path) -> None:
    recipe = TINY.override([*settings, f"data.direction={direction}", "finetune.rivals=[narrowed, naive]"])
    done = stages.run(recipe, data=images, out=tmp_path, progress=quiet)
    rows = table(tmp_path)
    assert rows["found"]["macs"]["exact"] <= rows["original"]["macs"]["exact"] / 2
    assert set(rows) == {"original", "found", "narrowed", "naive", "original_reverse"}
    # One network, with the original's answers and without: of a whole CycleGAN, as long.
    assert all(rows["naive"][fact] == rows["narrowed"][fact] for fact in ("macs", "params", "updates"))
    assert rows["naive"]["metrics"] != rows["narrowed"]["metrics"]
    logged = [json.loads((tmp_path / "finetune" / f"log-{name}.jsonl").read_text().splitlines()[0]) for name in RIVALS]
    assert [{"generator.recon", "generator.reverse_cycle"} & set(one) for one in logged] == [
        {"generator.recon"},
        {"generator.reverse_cycle"},
    ]
    # Both generators of the original are judged, each on its own direction.
    assert rows["original_reverse"]["metrics"] != rows["original"]["metrics"]
    assert done["export"]["parity_max_abs"] < 1e-3
    page = (tmp_path / "evaluate" / "report.html").read_text()
    assert "in metrics of single images, the original" in page
    assert "known to the evaluation alone" in page
    split = Prepared.open(tmp_path / "prepare").split("train")
    assert (len(split.input), len(split.target)) == ((6, 4) if direction == "AtoB" else (4, 6))


def colours(folder: Path) -> Path:
    """A feature network that returns the images, which are then averaged."""
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(nn.Identity(), torch.zeros(1, 3, 16, 16)), folder / "colours.pt")
    return folder / "colours.pt"


def test_without_partners_whole_sets_are_compared_and_single_images_refused_early(images, tmp_path) -> None:
    alone = TINY.override(["data.partners=false"])
    with pytest.raises(DataError, match=r"\[fd:NAME\]"):
        stages.run(alone, data=images, out=tmp_path / "refused", progress=quiet)
    assert not (tmp_path / "refused" / "teach" / "generator.safetensors").exists()
    network = [f"evaluate.features={{colour: {{path: {colours(tmp_path)}}}}}", "evaluate.metrics=['fd:colour']"]
    recipe = alone.override([*network, "objective.metric=fd:colour", "finetune.updates=0", "finetune.rivals=[]"])
    done = stages.run(recipe, data=images, out=tmp_path / "run", until="evaluate", progress=quiet)
    assert set(table(tmp_path / "run")["found"]["metrics"]) == {"fd:colour"}
    assert done["search"]["val_fd:colour"] > 0
