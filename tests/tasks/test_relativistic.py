"""ESRGAN's relativistic losses in the phases of each kind of training, against their formula."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from slimgen.data.batches import Pair
from slimgen.device import Compute
from slimgen.errors import RecipeError
from slimgen.methods import open_method
from slimgen.recipe import LossesSection, Recipe, Schedule
from slimgen.search import Genotype
from slimgen.tasks import noise, open_task
from slimgen.tasks.cycle import Direction, cycle_phases
from slimgen.tasks.guidance import GanTraining, Guidance
from slimgen.training.fit import Memo
from slimgen.training.losses import adversarial
from slimgen.training.pool import ImagePool

HERE = Path(__file__).parent
CPU = Compute(torch.device("cpu"), channels_last=False)
ONE = Genotype({})


def generators(real: torch.Tensor, fake: torch.Tensor) -> float:
    """Eq. 2 of Wang et al. 2018, as the mean of its two terms: log sigmoid(-x) = -softplus(x)."""
    return ((softplus(real - fake.mean()).mean() + softplus(real.mean() - fake).mean()) / 2).item()


def discriminators(real: torch.Tensor, fake: torch.Tensor) -> float:
    """Eq. 1, likewise."""
    return generators(fake, real)


def drawn(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape) + shape[0])) * 2 - 1


def test_a_pairs_generator_is_compared_with_the_real_images_of_its_inputs() -> None:
    changes = ["losses={gan: relativistic, recon: 0}"]
    task = open_task(Recipe.parse((HERE.parent / "stages" / "tiny.yaml").read_text()).override(changes), CPU)
    net, judge = task.generator(), task.discriminator()
    batch = Pair(drawn(2, 3, 16, 16), drawn(2, 3, 16, 16).flip(3))
    (first, second), _ = task.phases(GanTraining("a", net, judge, Schedule(updates=1), 1))
    memo = Memo(0)
    (loss,) = first.loss(batch, ONE, memo).values()
    with torch.no_grad():
        real, fake = (judge(torch.cat([batch.input, image], 1)) for image in (batch.target, net(batch.input)))
    assert loss.item() == pytest.approx(generators(real, fake), rel=1e-5)
    (other,) = second.loss(batch, ONE, memo).values()
    assert other.item() == pytest.approx(discriminators(real, fake), rel=1e-5)
    loss.backward()
    assert bool(net.get_parameter("model.1.weight").grad.ne(0).any())


def test_both_directions_of_a_cyclegan_are_compared_with_real_images_of_their_target_set() -> None:
    ways = [Direction(lambda x, by=by: x + by, lambda x: x.mean((1, 2, 3)), ImagePool(0)) for by in (0.3, -0.2)]
    losses, groups = LossesSection(gan="relativistic", cycle=0), [{"params": [nn.Parameter(torch.zeros(1))]}]
    batch, memo = Pair(drawn(3, 3, 8, 8), drawn(2, 3, 8, 8)), Memo(0)
    first, second = cycle_phases((ways[0], ways[1]), groups, groups, losses, Schedule(updates=1), 1)
    found = first.loss(batch, ONE, memo)
    inputs, targets = (images.mean((1, 2, 3)) for images in batch)
    assert found["adversarial"].item() == pytest.approx(generators(targets, inputs + 0.3), rel=1e-5)
    assert found["reverse_adversarial"].item() == pytest.approx(generators(inputs, targets - 0.2), rel=1e-5)
    found = second.loss(batch, ONE, memo)
    assert found["loss"].item() == pytest.approx(discriminators(targets, inputs + 0.3), rel=1e-5)


def test_images_from_noise_are_compared_with_the_real_images_of_their_batch() -> None:
    gan, net, judge = adversarial("relativistic"), nn.Linear(4, 2), nn.Linear(2, 1)
    batch = Pair(drawn(5, 4), drawn(3, 2))
    found = noise.passing_for_real(net, judge, gan, 2.0, Guidance())(batch, ONE, Memo(0))
    expected = generators(judge(batch.target), judge(net(batch.input)))
    assert found["adversarial"].item() == pytest.approx(2 * expected, rel=1e-5)


def test_the_gap_of_alphagan_refuses_it() -> None:
    recipe = Recipe.parse((HERE / "tiny_unconditional.yaml").read_text()).override(["losses.gan=relativistic"])
    with pytest.raises(RecipeError, match=r"losses\.gan must be hinge or vanilla; got 'relativistic'"):
        open_method("alphagan").check(recipe)


def test_features_before_the_activation_need_a_vgg() -> None:
    assert LossesSection(perceptual=1, perceptual_network="vgg19", before_activation=True).before_activation
    recipe = Recipe.parse((HERE.parent / "stages" / "tiny.yaml").read_text())
    with pytest.raises(RecipeError, match="'before_activation' needs the 'perceptual_network' vgg16 or vgg19"):
        recipe.override(["losses={perceptual: 1, before_activation: true}"])
