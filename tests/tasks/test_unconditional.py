"""Noise to images: what each step is given, who learns when, and what finished generators are measured on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from slimgen.data.batches import Pair
from slimgen.data.conversion import Setting
from slimgen.data.prepare_images import prepare_images
from slimgen.data.prepared import Prepared
from slimgen.device import choose
from slimgen.errors import CheckpointError, DataError, RecipeError, RunError
from slimgen.methods import open_method
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Recipe, Schedule
from slimgen.run.checkpoint import Checkpoints
from slimgen.run.log import Log
from slimgen.tasks import open_task
from slimgen.tasks.gan import GanTraining, train_gan
from slimgen.tasks.noise import DISCRIMINATOR, GENERATOR, SETTLING, latents
from slimgen.tasks.task import Job
from slimgen.tasks.unconditional import SETTLED, SHOWN
from slimgen.training import distributed
from slimgen.training.fit import Journal
from townhouses import write

CPU = choose("fp32", "cpu")
TINY = Recipe.parse((Path(__file__).parent / "tiny_unconditional.yaml").read_text())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder / "in", seed=0, train=14, test=5, size=32, layout="images")
    prepare_images(folder / "in", folder / "out", Setting(size=16, load=16, direction="AtoB", validation=4, seed=0))
    return folder / "out"


@pytest.fixture
def data(prepared) -> Prepared:
    return Prepared.open(prepared)


def job(data: Prepared, out: Path, recipe: Recipe = TINY, journal=lambda name: Journal()) -> Job:
    out.mkdir(parents=True, exist_ok=True)
    task = open_task(recipe, CPU)
    return Job(recipe, CPU, task, data, {"prepare": data.folder}, out, journal, lambda *told: None)


def phases(task, net, discriminator, schedule=TINY.teach):
    return task.phases(GanTraining("a", net, discriminator, schedule, 4))[0]


def test_noise_is_a_function_of_its_use():
    first = latents(1000, 64, 0, use=GENERATOR)
    assert torch.equal(first, latents(1000, 64, 0, use=GENERATOR))
    assert torch.equal(first[:10], latents(10, 64, 0, use=GENERATOR))
    others = [
        latents(1000, 64, 1, use=GENERATOR),
        latents(1000, 64, 0, use=DISCRIMINATOR),
        latents(1000, 64, 0, use=GENERATOR, split=1),
        latents(1000, 64, 0, use=GENERATOR, step=1),
    ]
    for other in others:  # independent: a correlation of 64,000 values is within 5 of its standard errors
        assert abs(float((first * other).mean())) < 5 / 64_000**0.5
    assert abs(float(first.mean())) < 5 / 64_000**0.5
    assert float(first.std()) == pytest.approx(1, abs=0.02)


def test_every_step_of_the_discriminator_sees_new_images_and_new_noise(data):
    batches = open_task(TINY, CPU).batches(data, TINY.teach)
    assert set(batches) == {"train", "val", f"train{SHOWN}", f"val{SHOWN}"}
    # Ten images to train on, eight a step: five steps show each of them four times.
    seen = [batches[f"train{SHOWN}"](step) for step in range(5)]
    made = [batches["train"](step) for step in range(5)]
    assert {tuple(pair.input.shape) for pair in seen} == {(8, 6)}
    assert {tuple(pair.target.shape) for pair in seen} == {(8, 3, 16, 16)}
    assert {tuple(pair.input.shape) for pair in made} == {(6, 6)}
    noise = torch.cat([pair.input for pair in [*seen, *made]])
    assert len(noise.unique(dim=0)) == len(noise)
    images, counts = torch.cat([pair.target for pair in seen]).flatten(1).unique(dim=0, return_counts=True)
    assert len(images) == 10
    assert set(counts.tolist()) == {4}
    assert all(torch.equal(one.target, pair.target[:4]) for one, pair in zip(made, seen, strict=True))


def test_batches_are_pure_and_held_for_the_given_steps(data):
    one, two = (open_task(TINY, CPU).batches(data, TINY.teach) for _ in range(2))
    for name, batch in one.items():
        batch(0)
        later = two[name](3)
        assert all(torch.equal(mine, other) for mine, other in zip(batch(3), later, strict=True))
    held = open_task(TINY, CPU).batches(data, TINY.teach, hold=3)
    assert all(torch.equal(held["train"](step).input, one["train"](1).input) for step in (3, 4, 5))


def test_processes_together_see_the_batch_of_one_process(data, monkeypatch):
    recipe = TINY.override(["teach.discriminator_steps=1"])
    alone = open_task(recipe, CPU).batches(data, recipe.teach)
    shares = []
    for rank in range(2):
        monkeypatch.setattr("slimgen.tasks.noise.world", lambda rank=rank: (rank, 2))
        shares.append(open_task(recipe, CPU).batches(data, recipe.teach))
    for name in alone:
        for part in ("input",) if SHOWN not in name else ("input", "target"):
            halves = [getattr(share[name](2), part) for share in shares]
            assert torch.equal(torch.cat(halves), getattr(alone[name](2), part))
    with pytest.raises(DataError, match="must divide evenly"):
        open_task(recipe, CPU).batches(data, recipe.teach.model_copy(update={"batch": 5}))
    assert distributed.world() == (0, 1)


def test_the_discriminator_steps_first_and_only_it_moves(data):
    task = open_task(TINY, CPU)
    net, judge = task.generator(), task.discriminator()
    found = phases(task, net, judge)
    assert [phase.name for phase in found] == ["discriminator", "discriminator", "generator"]
    assert [phase.split for phase in found] == [f"train{SHOWN}", f"train{SHOWN}", "train"]
    assert found[0].optimizer is found[1].optimizer
    assert found[2].optimizer.param_groups[0]["betas"] == (0, 0.9)
    batches = task.batches(data, TINY.teach)
    for phase in found[:2]:
        sum(phase.loss(batches[phase.split](0), {}, {}).values()).backward()
    assert all(weight.grad is None for weight in net.parameters())
    assert any(weight.grad is not None for weight in judge.parameters())


class Brightness(nn.Module):
    """A judge whose score is the mean of an image, and a generator of greys: its own, and its noise's mean more."""

    def __init__(self, grey: float | None = None) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.grey = grey

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        if self.grey is not None:
            return self.scale * (self.grey + given.mean(1))[:, None, None, None].expand(-1, 3, 2, 2)
        return self.scale * given.mean((1, 2, 3), keepdim=False)[:, None]


def test_the_losses_are_the_hinge_of_the_steps_own_part():
    task = open_task(TINY.override(["losses.adversarial=2"]), CPU)
    found = phases(task, Brightness(0.25), Brightness())
    real = torch.cat([torch.full((4, 3, 2, 2), value) for value in (0.5, -0.5)])
    noise = torch.cat([torch.full((4, 6), value) for value in (0.0, 0.25)])
    batch = Pair(noise, real)
    losses = [phase.loss(batch, {}, {})["loss"].item() for phase in found[:2]]
    # Hinge: half of relu(1 - real) + relu(1 + fake).
    assert losses == pytest.approx([0.5 * (0.5 + 1.25), 0.5 * (1.5 + 1.5)])
    assert found[2].loss(batch, {}, {})["adversarial"].item() == pytest.approx(-2 * 0.375)


def test_the_original_is_trained_on_all_images_but_the_test_images(data, tmp_path, monkeypatch):
    shown = []
    batches = type(open_task(TINY, CPU)).batches
    monkeypatch.setattr(
        "slimgen.tasks.unconditional.Unconditional.batches",
        lambda self, data, *rest, **more: shown.append(len(data.split("train"))) or batches(self, data, *rest, **more),
    )
    work = job(data, tmp_path)
    told = work.task.teach(work)
    assert shown == [14]
    assert told == {"updates": 3, "params": sum(weight.numel() for weight in work.task.generator().parameters())}
    assert load_weights(tmp_path / "generator.safetensors").keys() == work.task.generator().state_dict().keys()


def test_a_training_that_was_killed_ends_with_the_same_bits(data, tmp_path):
    recipe = TINY.override(["teach.updates=5", "teach.ema=0.5"])

    def journal(folder: Path, alive: int | None):
        def progress(done: int, total: int, values) -> None:
            if alive is not None and done > alive:
                raise KeyboardInterrupt

        kept, log = Checkpoints(folder / "kept", "mark", warn=print), Log(folder / "log.jsonl")
        return lambda name: Journal(kept, log, progress, log_every=2, seconds=0)

    whole = job(data, tmp_path / "whole", recipe, journal(tmp_path / "whole", None))
    whole.task.teach(whole)
    for alive in (3, None):
        cut = job(data, tmp_path / "cut", recipe, journal(tmp_path / "cut", alive))
        if alive is None:
            cut.task.teach(cut)
        else:
            with pytest.raises(KeyboardInterrupt):
                cut.task.teach(cut)
    for part in ("generator", "discriminator"):
        one, two = (load_weights(tmp_path / run / f"{part}.safetensors") for run in ("whole", "cut"))
        assert all(torch.equal(one[name], two[name]) for name in one)
    lines = Log(tmp_path / "whole" / "log.jsonl").read()
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert {"discriminator.loss", "generator.adversarial", "rate.generator"} <= set(lines[0])


def test_an_averaged_generator_has_the_statistics_of_its_own_features(data, tmp_path):
    work = job(data, tmp_path, TINY.override(["teach.ema=0.9"]))
    net, judge = work.task.generator(), work.task.discriminator()
    average = work.task.train_original(work, GanTraining("a", net, judge, TINY.teach, 3, ema=0.9))
    norm = average.blocks[0].norm1
    seen: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    with torch.no_grad():
        for step in range(SETTLED):
            average(latents(6, 6, 0, use=SETTLING, step=step))
    # The first norm's input depends on no other norm: its mean over all noise, and the mean of the batches' variances.
    assert torch.allclose(norm.running_mean, torch.stack([one.mean((0, 2, 3)) for one in seen]).mean(0), atol=1e-6)
    assert torch.allclose(norm.running_var, torch.stack([one.var((0, 2, 3)) for one in seen]).mean(0), rtol=1e-4)
    assert not torch.equal(norm.running_mean, net.blocks[0].norm1.running_mean)
    assert not average.training


def test_a_generator_trained_with_any_methods_loop_takes_the_same_steps(data, tmp_path):
    """`train_gan` on the joined images is what `train_original` does."""
    one, two = job(data, tmp_path), job(data, tmp_path)
    training = GanTraining("a", one.task.generator(), one.task.discriminator(), TINY.teach, 2)
    first = one.task.train_original(one, training)
    joined = replace(two, data=data.with_validation())
    second = train_gan(joined, GanTraining("b", two.task.generator(), two.task.discriminator(), TINY.teach, 2))
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    fresh = one.task.generator().state_dict()
    assert any(not torch.equal(fresh[name], value) for name, value in first.state_dict().items())


def test_an_original_is_imported_and_not_trained(data, tmp_path):
    task = open_task(TINY, CPU)
    save_weights(tmp_path / "g.safetensors", task.generator(7).state_dict())
    recipe = TINY.override([f"teach.generator_checkpoint={tmp_path / 'g.safetensors'}"])
    work = job(data, tmp_path / "out", recipe)
    assert work.task.teach(work)["updates"] == 0
    found = load_weights(tmp_path / "out" / "generator.safetensors")
    assert all(torch.equal(found[name], value) for name, value in task.generator(7).state_dict().items())
    missing = job(data, tmp_path / "out", TINY.override(["teach.generator_checkpoint=nowhere.pth"]))
    with pytest.raises(CheckpointError, match=r"nowhere\.pth"):
        missing.task.teach(missing)


@pytest.mark.parametrize(("against", "count"), [("train", 14), ("test", 5)])
def test_finished_generators_are_compared_with_the_images_that_the_recipe_names(data, against, count):
    task = open_task(TINY.override([f"evaluate.against={against}"]), CPU)
    noise, real = task.test(data)
    assert noise.shape == (count, 6)
    assert real.shape == (count, 3, 16, 16)
    assert real.dtype == torch.uint8
    assert real.is_contiguous(memory_format=torch.channels_last)
    split = data.with_validation().split("train") if against == "train" else data.split("test")
    assert np.array_equal(real.permute(0, 2, 3, 1).numpy(), split.target)
    more = open_task(TINY.override([f"evaluate={{against: {against}, images: 40, metrics: [fid]}}"]), CPU).test(data)
    assert more.input.shape == (40, 6)
    assert torch.equal(more.input[:count], noise)
    assert len(more.target) == count


def test_candidates_are_measured_on_images_held_out_and_noise_of_their_own(data, tmp_path):
    work = job(data, tmp_path, TINY.override(["objective.metric=fid"]))
    noise, real = work.task.validation(work)
    assert noise.shape == (4, 6)
    assert len(real) == 4
    assert not torch.equal(noise, work.task.test(data).input[:4])
    by_default = job(data, tmp_path)
    with pytest.raises(RecipeError, match="must be a metric of whole sets"):
        by_default.task.validation(by_default)


def test_an_epoch_shows_the_discriminator_every_image_once():
    schedule = Schedule(epochs=2, batch=128, discriminator_batch=64, discriminator_steps=5)
    assert schedule.steps(50_000) == round(2 * 50_000 / 320)
    assert Schedule(epochs=2, batch=4).steps(10) == 5


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (["evaluate.metrics=[fid, psnr]"], "need metrics of whole sets.*evaluate.metrics with psnr"),
        (["teach.generator={family: resnet, ngf: 4}"], "'resnet', which takes images"),
        (["losses.recon=1"], r"losses\.recon has no effect in the task unconditional"),
        (["losses.adversarial=0"], "losses.adversarial must be above 0"),
        (["data.direction=BtoA", "data.load=32"], r"data\.direction and data\.load have no effect"),
        (["finetune.generator_steps=2"], "no effect in the task unconditional"),
        (["task=paired"], r"teach\.discriminator_batch and teach\.discriminator_steps have no effect"),
    ],
)
def test_settings_without_effect_or_sense_are_refused_in_one_line(settings, rule):
    with pytest.raises(RecipeError, match=rule) as caught:
        open_task(TINY.override(settings), CPU)
    assert "\n" not in str(caught.value)


def test_a_generator_of_another_size_is_refused_before_it_is_trained(data, tmp_path):
    work = job(data, tmp_path, TINY.override(["teach.generator.size=24"]))
    with pytest.raises(RecipeError, match=r"must make images of 16 x 16 with 3 channels, .*; got 24 x 24 with 3"):
        work.task.teach(work)


def test_pairs_and_diverged_losses_are_refused(data, tmp_path):
    write(tmp_path / "in", seed=0, train=6, test=2, size=32)
    from slimgen.data.prepare_translation import prepare_pairs

    prepare_pairs(tmp_path / "in", tmp_path / "pairs", Setting(size=16, load=16, validation=2))
    with pytest.raises(DataError, match="prepared for the task unconditional"):
        open_task(TINY, CPU).batches(Prepared.open(tmp_path / "pairs"), TINY.teach)
    work = job(data, tmp_path, TINY.override(["losses.adversarial=1.0e+39"]))
    with pytest.raises(RunError, match="losses must stay finite"):
        work.task.teach(work)


@pytest.mark.parametrize("method", ["cf_gan", "gan_compression", "co_evolution"])
def test_methods_for_image_translation_refuse_the_task(method):
    with pytest.raises(RecipeError, match="unconditional") as caught:
        open_method(method).check(TINY.override([f"method={method}"]))
    assert method in str(caught.value)
