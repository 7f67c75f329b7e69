"""The original of a recipe: its networks, their cost, and the stage that trains or imports them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.device import Compute
from slimgen.errors import CheckpointError
from slimgen.files import DISCRIMINATOR, GENERATOR
from slimgen.nets import build_discriminator, build_generator, generator_cost
from slimgen.nets.weights import import_generator, load_weights, save_weights
from slimgen.recipe import Recipe, TeachSection
from slimgen.tasks.guidance import Gan, GanTraining
from slimgen.tasks.task import Job, Task


class Original:
    """The part of a task that says what is compressed.

    Attributes:
        discriminator_inputs: channels that the discriminator takes; the class says how many where the recipe does not.
    """

    discriminator_inputs: int

    def __init__(self, recipe: Recipe, compute: Compute) -> None:
        self.recipe, self.compute = recipe, compute

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Says nothing: the task's traits do."""

    @property
    def discriminator_options(self) -> Mapping[str, Any]:
        """Family and options of the discriminator."""
        return self.recipe.teach.discriminator

    def generator(self, seed: int = 0) -> nn.Module:
        """The original generator, initialised from the recipe's seed and this number."""
        return self.compute.place(build_generator(seed=self.recipe.seed + seed, **self.recipe.teach.generator))

    def discriminator(self, seed: int = 1) -> nn.Module:
        """The original discriminator; likewise."""
        return self.compute.place(build_discriminator(seed=self.recipe.seed + seed, **self.discriminator_options))

    def original_cost(self) -> Cost:
        """What the original generator costs for one image of the recipe's size, in closed form."""
        return generator_cost(height=self.recipe.size, width=self.recipe.size, **self.recipe.teach.generator)

    def condition(self, inputs: Tensor) -> Tensor:
        """The input of a generator: the prepared inputs themselves."""
        return inputs

    def protocol(self) -> str:
        """Nothing besides what every evaluation says of itself."""
        return ""


def teach_pair(job: Job, images: int) -> Mapping[str, float]:
    """Trains, on so many images, or imports one generator and its discriminator; its updates and parameters.

    Leaves `generator` and `discriminator.safetensors`.

    Raises:
        CheckpointError: what is imported is not there or does not fit.
    """
    options, updates = job.recipe.teach, 0
    generator, discriminator = originals(job.task, options)
    if options.generator_checkpoint is None:
        updates = options.steps(images)
        training = GanTraining("teacher", generator, discriminator, options, updates, ema=options.ema)
        generator = job.task.train_original(job, training)
    save_weights(job.out / GENERATOR, generator.state_dict())
    save_weights(job.out / DISCRIMINATOR, discriminator.state_dict())
    return {"updates": updates, "params": job.task.original_cost().params}


def originals(task: Task, options: TeachSection) -> Gan:
    """The original generator and discriminator, with the weights of the checkpoints that the recipe names."""
    generator, discriminator = task.generator(), task.discriminator()
    if options.discriminator_checkpoint is not None:
        imported(discriminator, options.discriminator_checkpoint)
    if options.generator_checkpoint is not None:
        imported(generator, options.generator_checkpoint)
    return Gan(generator, discriminator)


def imported(net: nn.Module, path: str) -> None:
    """Loads the weights of a network trained elsewhere, junyanz's naming included.

    Raises:
        CheckpointError: no such file, or the weights do not fit.
    """
    if not Path(path).is_file():
        raise CheckpointError("teach names a checkpoint that exists", path)
    import_generator(net, load_weights(path))
