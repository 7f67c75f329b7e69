"""Label maps as networks see them, and what a generator learns of its discriminator."""

from pathlib import Path

import pytest
import torch

from slimgen.data.batches import Pair
from slimgen.device import choose
from slimgen.errors import RecipeError
from slimgen.nets import build_discriminator
from slimgen.recipe import Recipe, load
from slimgen.tasks import open_task
from slimgen.tasks.gan import GanTraining
from slimgen.tasks.labels import Matching
from slimgen.training.fit import Memo
from slimgen.training.losses import feature_matching
from slimgen.training.optimizers import constant_then_linear

CPU = choose("fp32", "cpu")
TINY = Recipe.parse((Path(__file__).parents[1] / "methods" / "tiny_gaugan.yaml").read_text())
FIVE = TINY.override(["data={classes: 5}", "teach.generator.inputs=5"])


def as_prepared(numbers: torch.Tensor) -> torch.Tensor:
    """Whole numbers 0 .. 255 as batches give them."""
    return numbers.float() * (2 / 255) - 1


def ids(classes: int, size: int = 8) -> torch.Tensor:
    return torch.randint(0, classes, (2, 1, size, size), generator=torch.Generator().manual_seed(0))


def test_every_pixel_has_one_class_and_the_edges_are_last():
    task = open_task(TINY.override(["data={classes: 254, instances: true}", "teach.generator.inputs=255"]), CPU)
    numbers = torch.arange(254).repeat(3)[:576].view(1, 1, 24, 24)
    edges = torch.zeros(1, 1, 24, 24, dtype=torch.long)
    edges[..., 3] = 255
    seen = task.condition(as_prepared(torch.cat([numbers, edges], 1)))
    assert seen.shape == (1, 255, 24, 24)
    assert torch.equal(seen[:, :254].argmax(1, keepdim=True), numbers)
    assert torch.equal(seen[:, :254].sum(1), torch.ones(1, 24, 24))
    assert torch.equal(seen[:, 254:], edges.float() / 255)


def test_unknown_pixels_have_a_separate_channel():
    task = open_task(TINY.override(["data={classes: 3, unknown: true}", "teach.generator.inputs=4"]), CPU)
    assert torch.equal(
        task.condition(as_prepared(torch.full((1, 1, 2, 2), 3)))[0, :, 0, 0], torch.tensor([0, 0, 0, 1.0])
    )


def test_the_discriminator_sees_labels_and_image_together():
    task = open_task(FIVE, CPU)
    labels, image = task.condition(as_prepared(ids(5, 64))), torch.zeros(2, 3, 64, 64)
    assert task.discriminator_inputs == 8
    assert torch.equal(task.shown(labels, image), torch.cat([labels, image], 1))
    assert task.discriminator()(task.shown(labels, image)).shape[0] == 2


@pytest.mark.parametrize("options", [{"family": "multiscale", "layers": 2}, {"family": "patchgan", "layers": 2}])
def test_features_are_matched_in_the_pass_that_gave_the_scores(options):
    """By hand: the same loss from activations that were asked for separately; and one pass less."""
    task, net = open_task(FIVE, CPU), build_discriminator(inputs=8, ndf=4, **options).eval()
    labels = task.condition(as_prepared(ids(5, 64)))
    fake, real = (torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    fake.requires_grad_(True)
    passes = []
    part = net.scales[0] if options["family"] == "multiscale" else net
    part.model[0].register_forward_hook(lambda *_: passes.append(1))
    matching = Matching(task, net, 10.0)
    scores = matching.discriminate(task.shown(labels, fake), {})
    assert torch.equal(scores, net(task.shown(labels, fake)))
    passes.clear()
    loss = matching.term(Pair(labels, real), fake, {})["feature"]
    assert len(passes) == 1

    def activations(image):
        found = net.features(task.shown(labels, image))
        return found if options["family"] == "multiscale" else [found]

    assert loss.item() == pytest.approx(10 * feature_matching(activations(fake), activations(real)).item())
    loss.backward()
    assert fake.grad.abs().sum() > 0
    assert matching.term(Pair(labels, real), real, {})["feature"] == 0


def test_the_discriminators_own_step_leaves_nothing_to_match():
    task, net = open_task(FIVE, CPU), build_discriminator("multiscale", inputs=8, ndf=4, layers=2).eval()
    labels, fake = task.condition(as_prepared(ids(5, 64))), torch.rand(2, 3, 64, 64)
    matching = Matching(task, net, 1.0)
    matching.discriminate(task.shown(labels, fake), {})
    assert matching.term(Pair(labels, fake + 1), fake + 1, {})["feature"] == 0


@pytest.mark.parametrize(
    ("recon", "terms"), [(0, {"adversarial", "feature"}), (3, {"recon", "adversarial", "feature"})]
)
def test_a_loss_of_weight_zero_is_not_computed(recon, terms):
    task = open_task(FIVE.override([f"losses.recon={recon}"]), CPU)
    generator, discriminator = task.generator(), task.discriminator()
    phases, _ = task.phases(GanTraining("a", generator, discriminator, FIVE.teach, 4))
    batch = Pair(task.condition(as_prepared(ids(5, 64))), torch.zeros(2, 3, 64, 64))
    assert set(phases[0].loss(batch, {}, Memo(0))) == terms
    assert phases[0].optimizer.param_groups[0]["lr"] * 4 == pytest.approx(phases[1].optimizer.param_groups[0]["lr"])
    assert phases[0].optimizer.param_groups[0]["betas"] == (0.0, 0.9)
    assert phases[0].rate(3) == constant_then_linear(4, 0.5)(3)


def test_pictures_of_label_maps_have_a_colour_for_each_class():
    numbers = ids(40)
    found = open_task(TINY, CPU).picture(as_prepared(numbers))
    colours = {tuple(found[0, :, y, x].tolist()) for y in range(8) for x in range(8)}
    assert len(colours) == len(numbers[0].unique())
    own = TINY.override(["data={classes: 2, palette: [[0, 0, 0], [255, 127, 0]]}", "teach.generator.inputs=2"])
    picture = open_task(own, CPU).picture(as_prepared(torch.ones(1, 1, 1, 1)))
    assert ((picture[0, :, 0, 0] + 1) * 127.5).round().tolist() == [255, 127, 0]


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (["teach.generator.inputs=36"], "set teach.generator.inputs to 40"),
        (["teach.discriminator.inputs=3"], "teach.discriminator.inputs 43"),
        (["losses.perceptual=1"], "set losses.perceptual_network to vgg16"),
        (["data={}"], "needs data.classes"),
        (["data={classes: 2, palette: [[0, 0, 256], [1, 1, 1]]}"], "must be at most 255; got 256"),
        (["task=paired"], "data.classes and losses.feature have no effect in the task paired"),
        (["losses={recon: 0, adversarial: 0}"], "at least one of 'adversarial'"),
    ],
)
def test_nonsensical_options_are_refused_in_one_line(settings, rule):
    with pytest.raises(RecipeError, match=rule):
        open_task(TINY.override(settings), CPU)


def test_the_published_setting_has_the_channels_that_its_data_have():
    recipe = load("gan_compression-gaugan-cityscapes")
    task = open_task(recipe, CPU)
    assert task.channels == 36
    assert task.original_cost().gan_compression == 281_356_632_064
