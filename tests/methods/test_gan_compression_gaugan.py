"""GAN Compression of a GauGAN end to end on a tiny task; statistics of sub-networks; what is refused."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from slimgen import stages
from slimgen.data.batches import Batches, whole
from slimgen.data.prepared import Prepared
from slimgen.device import choose
from slimgen.errors import RecipeError
from slimgen.methods.gan_compression import check
from slimgen.methods.gan_compression.distilling import recalibrated
from slimgen.methods.gan_compression.options import SupernetOptions, tap_channels
from slimgen.metrics.evaluator import Evaluator
from slimgen.nets import build_generator
from slimgen.nets.gan_compression.once_for_all_spade import OnceForAllSpade
from slimgen.nets.spade.generator import SpadeGenerator
from slimgen.nets.weights import load_weights
from slimgen.recipe import Recipe, section
from slimgen.search import Genotype
from slimgen.stages.generators import built
from slimgen.tasks import open_task
from slimgen.tasks.task import Job
from tests.quiet import quiet
from townhouses import write

TINY = Recipe.parse((Path(__file__).parent / "tiny_gaugan.yaml").read_text())
FULL = [
    "supernet.pipeline=full",
    "supernet.teacher={ngf: 4, updates: 2, batch: 2}",
    "supernet.student={updates: 2, batch: 2}",
]
STAGES = ("prepare", "teach", "supernet", "search", "finetune", "evaluate", "export")


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Path:
    images, out = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("run")
    write(images, seed=0, train=12, test=2, size=64, layout="labels")
    stages.prepare(TINY, data=images, out=out / "prepare", progress=quiet)
    stages.teach(TINY, prepare=out / "prepare", out=out / "teach", progress=quiet)
    return out


def through(recipe: Recipe, taught: Path, out: Path, last: str) -> None:
    """The stages after `teach`, up to one."""
    folders = {"prepare": taught / "prepare", "teach": taught / "teach"} | {name: out / name for name in STAGES[2:]}
    reads = {
        "supernet": ("prepare", "teach"),
        "search": ("prepare", "teach", "supernet"),
        "finetune": ("prepare", "teach", "supernet", "search"),
        "evaluate": ("prepare", "teach", "search", "finetune"),
        "export": ("prepare", "teach", "finetune", "evaluate"),
    }
    for name in STAGES[2 : STAGES.index(last) + 1]:
        inputs = {other: folders[other] for other in reads[name]}
        getattr(stages, name)(recipe, **inputs, out=out / name, progress=quiet)


def test_all_stages_end_with_a_file_that_gives_the_found_generators_outputs(taught, tmp_path):
    through(TINY, taught, tmp_path, "export")
    rows = {row["name"]: row for row in json.loads((tmp_path / "evaluate" / "table.json").read_text())["rows"]}
    assert rows["found"]["macs"]["exact"] <= rows["original"]["macs"]["exact"] * 2 / 5
    assert rows["narrowed"]["family"] == "spade"
    assert rows["narrowed"]["macs"]["exact"] >= rows["found"]["macs"]["exact"]
    card = json.loads((tmp_path / "export" / "card.json").read_text())
    assert card["onnx"]["input"][1][1] == 40
    assert card["parity"]["max_abs"] <= 1e-3
    assert "the channel's class" in (tmp_path / "export" / "card.md").read_text()
    for name in ("teacher", "supernet", "found", "narrowed"):
        folder = {"teacher": taught / "teach", "supernet": tmp_path / "supernet"}.get(name, tmp_path / "finetune")
        losses = json.loads((folder / f"log-{name}.jsonl").read_text().splitlines()[0])
        assert {"generator.adversarial", "generator.feature", "discriminator.loss"} <= set(losses)
        assert "generator.recon" not in losses
        assert ("generator.distill" in losses) == (name in ("supernet", "found"))


def test_the_full_pipeline_distils_a_mobile_teacher_that_was_trained_with_spectral_norm(taught, tmp_path):
    recipe = TINY.override(FULL)
    through(recipe, taught, tmp_path, "supernet")
    weights = load_weights(tmp_path / "supernet" / "teacher_generator.safetensors")
    teacher = build_generator("mobile_spade", inputs=40, ngf=4, doublings=5, spectral=True)
    teacher.load_state_dict(weights)
    assert json.loads((tmp_path / "supernet" / "stage.json").read_text())["metrics"]["teacher_updates"] == 2
    adaptors = load_weights(tmp_path / "supernet" / "adaptors.safetensors")
    students, teachers = tap_channels(recipe, section(SupernetOptions, recipe.supernet, "supernet"))
    assert (students, teachers) == ([48, 48, 12], [64, 64, 16])
    assert [tuple(adaptors[f"{i}.weight"].shape[:2]) for i in range(3)] == [(64, 48), (64, 48), (16, 12)]


def test_without_fine_tuning_the_found_generator_has_the_quality_that_the_search_measured(taught, tmp_path):
    """So its statistics are its own: with those that all widths share, it would be another network."""
    recipe = TINY.override(["finetune.updates=0", "finetune.rivals=[]", "search.evaluations=3"])
    through(recipe, taught, tmp_path, "finetune")
    chosen = json.loads((tmp_path / "search" / "genotype.json").read_text())
    about = json.loads((tmp_path / "finetune" / "networks.json").read_text())["found"]
    found = build_generator(about["family"], **about["options"])
    found.load_state_dict(load_weights(tmp_path / "finetune" / "found.safetensors"))
    task, compute = open_task(recipe, choose("fp32", "cpu")), choose("fp32", "cpu")
    val = whole(Prepared.open(taught / "prepare").split("val"))
    evaluator = Evaluator(val, ["psnr"], compute=compute)
    net = found.eval()
    worth = evaluator.measure(lambda inputs: net(task.condition(inputs)))["psnr"]
    assert worth == pytest.approx(chosen["quality"]["psnr"], abs=1e-6)
    supernet = OnceForAllSpade(space=recipe.supernet["space"], inputs=40, doublings=5)
    supernet.load_state_dict(load_weights(tmp_path / "supernet" / "generator.safetensors"))
    shared = supernet.extract(Genotype.from_json(chosen["genotype"])).eval()
    assert evaluator.measure(lambda inputs: shared(task.condition(inputs)))["psnr"] != pytest.approx(worth, abs=1e-4)


def a_job(taught: Path, out: Path, recipe: Recipe = TINY) -> Job:
    compute = choose("fp32", "cpu")
    data = Prepared.open(taught / "prepare")
    return Job(recipe, compute, open_task(recipe, compute), data, {}, out, None, quiet)


def test_recalibrated_statistics_are_the_means_over_all_batches(taught, tmp_path):
    """By hand, for the first norm: it sees the first convolution of label maps at 1/32 of the size."""
    job = a_job(taught, tmp_path)
    net = OnceForAllSpade(space=[[2, 3]] * 8, inputs=40, doublings=5)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    small = recalibrated(job, net, images=5, batch=2).extract(net.space.smallest())
    source = Batches(job.data.split("train"), batch=2, seed=0, crop=64)
    means, variances = [], []
    for step in range(3):
        labels = functional.interpolate(job.task.condition(source(step).input), size=(2, 2))
        seen = small.fc(labels).transpose(0, 1).flatten(1)
        means.append(seen.mean(1))
        variances.append(seen.var(1))
    norm = small.head_0.norm_0.param_free_norm
    assert torch.allclose(norm.running_mean, torch.stack(means).mean(0), atol=1e-6)
    assert torch.allclose(norm.running_var, torch.stack(variances).mean(0), atol=1e-6)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_other_images_to_calibrate_with_make_another_network_and_no_batch_norms_none(taught, tmp_path):
    job = a_job(taught, tmp_path)
    net = OnceForAllSpade(space=[[2, 3]] * 8, inputs=40, doublings=5)
    over = [recalibrated(job, net, images, 2).state_dict()["over"] for images in (2, 4, 4)]
    assert torch.equal(over[1], over[2])
    assert not torch.equal(over[0], over[1])
    single = OnceForAllSpade(space=[[2, 3]] * 8, inputs=40, doublings=5, norm="instance")
    assert recalibrated(job, single, 4, 2) is single


def test_the_original_is_measured_without_its_spectral_norms(taught):
    about = {"family": "spade", "options": {k: v for k, v in TINY.teach.generator.items() if k != "family"}}
    net = built(about, taught / "teach" / "generator.safetensors")
    assert isinstance(net, SpadeGenerator)
    assert not any("parametrizations" in name for name in net.state_dict())
    trained = build_generator("spade", **about["options"])
    trained.load_state_dict(load_weights(taught / "teach" / "generator.safetensors"))
    labels = torch.rand(1, 40, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(net(labels), trained.eval()(labels), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (["supernet.prune=true"], "leave supernet.prune out"),
        (["supernet.family=mobile_resnet"], "space of channels|needs a ResNet teacher"),
        (["supernet.space=channels-48"], "no space of SPADE channels is called"),
        (["budget={latency_ms: 5}"], "whose latency is the sum of its pieces' latencies"),
        (["size=80"], "multiples of 32"),
        (["finetune.rivals=[by_hand]"], "must suit the method gan_compression; got 'by_hand'; choose from narrowed"),
        (["budget.macs=10"], "smallest network"),
    ],
)
def test_unsound_recipes_are_refused_at_once(settings, rule):
    with pytest.raises(ValueError, match=rule):
        check(TINY.override(settings))


def test_cf_gan_makes_no_images_of_label_maps():
    from slimgen.methods.cf_gan import check as check_cf_gan

    with pytest.raises(RecipeError, match="the task labels"):
        check_cf_gan(TINY.override(["method=cf_gan", "supernet={updates: 1}", "search={}"]))
