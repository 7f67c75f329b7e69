"""Task `unpaired`: translation between two sets of images without pairs (CycleGAN, Zhu et al. 2017).

Both directions of the original are trained together; `data.direction` chooses the one to compress. After that the
original's outputs are the targets (GAN Compression, Eq. 1), since an input has no target of its own.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torch import nn

from slimgen.data.batches import Pair
from slimgen.data.conversion import Progress
from slimgen.data.look import Look, Looked, look_at_sets
from slimgen.data.prepare_translation import prepare_unpaired
from slimgen.data.prepared import Manifest
from slimgen.errors import CheckpointError, RecipeError
from slimgen.files import weights_file
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets.initial import initialise
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Recipe
from slimgen.tasks.cycle import REVERSE, CycleTraining, train_cycle
from slimgen.tasks.guidance import Gan, GanTraining, Truth
from slimgen.tasks.importing import import_pair, named
from slimgen.tasks.stopping import check_stopping, early_stopping
from slimgen.tasks.task import Job, setting_of, single_metrics
from slimgen.tasks.traits import IMAGES, OF_LABEL_MAPS, OF_NOISE, Embedded, Traits
from slimgen.tasks.translation import CHANNELS, Translation
from slimgen.training.distillation import Teacher


class Unpaired(Translation):
    """Task of two sets of images; a discriminator sees single images, new ones and earlier ones from a pool."""

    traits: ClassVar[Traits] = Traits(
        IMAGES, pairs=False, directions=2, embedded=Embedded("unpaired"), refused={**OF_LABEL_MAPS, **OF_NOISE}
    )
    discriminator_inputs = CHANNELS
    history = 50

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raise RecipeError where the discriminator takes pairs, or early stopping has nothing to measure by."""
        inputs = recipe.teach.discriminator.get("inputs", CHANNELS)
        if inputs > max(CHANNELS, recipe.channels.wanted):
            rule = (
                "teach.discriminator.inputs must be the channels of one image, since images of two sets have no pairs"
            )
            raise RecipeError(rule, inputs, "leave it out")
        check_stopping(recipe)

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Write two sets of images as arrays."""
        return prepare_unpaired(folder, out, setting_of(recipe), progress, partners=recipe.data.partners)

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """Report the layout of two sets, and the images that cannot be used."""
        return look_at_sets(folder, look)

    def teach(self, job: Job) -> Mapping[str, float]:
        """Train or import the originals.

        Writes `generator` and `discriminator.safetensors` of the recipe's direction, and `reverse_generator` and
        `reverse_discriminator.safetensors` of the reverse one: both if they are trained, else the imported ones.

        Returns:
            Updates, parameters of the forward generator, and the facts of early stopping if there is any.

        Raises:
            CheckpointError: an imported file is missing, or its weights do not fit.
            RecipeError: nothing is imported, and the adversarial loss is switched off.
        """
        options, facts = self.recipe.teach, {"updates": 0.0}
        forward = import_pair(job, Gan(self.generator(), self.discriminator()))
        reverse = import_pair(job, self._new_reverse(), REVERSE)
        trained = options.generator_checkpoint is None
        if trained:
            updates = options.steps(len(job.data.split("train")))
            stopping = early_stopping(job, updates, lambda: self._both_ways(job))
            training = CycleTraining("teacher", forward, reverse, options, updates, options.ema, stopping)
            nets = train_cycle(job, training)
            facts = {"updates": updates} if stopping is None else stopping.facts()
            forward, reverse = forward._replace(generator=nets[0]), reverse._replace(generator=nets[1])
        for part, net in forward._asdict().items():
            save_weights(job.out / weights_file(part), net.state_dict())
        for part, net in reverse._asdict().items():
            if trained or part in named(options, REVERSE):
                save_weights(job.out / weights_file(f"{REVERSE}{part}"), net.state_dict())
        return {**facts, "params": self.original_cost().params}

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Train a generator in place as half of a CycleGAN, whose reverse half is of the same family."""
        gan = Gan(training.generator, training.discriminator)
        other = Gan(*(initialise(copy.deepcopy(net), self.recipe.seed + number) for number, net in enumerate(gan, 2)))
        schedule, steps = training.schedule, training.steps
        both = CycleTraining(training.name, gan, other, schedule, steps, training.ema, until=training.until)
        return train_cycle(job, both)[0]

    def reverse(self, teach: Path) -> Gan:
        """Return the originals of the reverse direction from `teach`'s folder, in training mode.

        Raises:
            CheckpointError: only originals of the recipe's direction were imported.
        """
        found = self._new_reverse()
        for part, net in found._asdict().items():
            file = teach / weights_file(f"{REVERSE}{part}")
            if not file.is_file():
                hint = f"set teach.{REVERSE}{part}_checkpoint too, or train both directions"
                raise CheckpointError(f"the {part} of the reverse direction is missing: no file {file}", None, hint)
            net.load_state_dict(load_weights(file))
        return found

    def _new_reverse(self) -> Gan:
        """Return new networks of the reverse direction, with seeds that nothing else uses."""
        return Gan(self.generator(2), self.discriminator(3))

    def _both_ways(self, job: Job) -> dict[str, Pair]:
        """Return the validation images of each direction by its generator's name."""
        found = super().validation(job)
        return {"generator": found, f"{REVERSE}generator": Pair(found.target, found.input)}

    @property
    def answers(self) -> bool:
        """Whether test images without partners are compared with the original's outputs: one that was imported alone.

        A trained pair of originals is compared with the sets, in both directions, and so is everything by a metric of
        sets, beside which no other real images can be used.
        """
        alone = self.recipe.teach.generator_checkpoint is not None and not named(self.recipe.teach, REVERSE)
        metrics = self.recipe.evaluate.metrics
        return alone and bool(metrics) and len(single_metrics(self.recipe)) == len(metrics)

    def targets(self, images: Pair, teach: Path, paired: bool) -> Pair:
        """Return test images with the targets of metrics of single images: partners, or the original's outputs."""
        if paired or not self.answers:
            return images
        return self.answered(images, self.compute.ready(self.original(teach)))

    def truth(self, teach: Path) -> Truth:
        """Return a function from a batch to the original's outputs; the batch's targets show other scenes."""
        teacher = Teacher(self.compute.ready(self.original(teach)))
        return lambda batch: teacher(batch.input)[0].float()

    def validation(self, job: Job) -> Pair:
        """Return the validation images with the images to compare with.

        Metrics of single images compare with the original's outputs for the same inputs, even where true partners
        exist: a search on two sets must not use them. All other metrics compare with the set of targets.
        """
        found = super().validation(job)
        if not isinstance(find(self.recipe.objective.metric), PerImage):
            return found
        return self.answered(found, self.original(job.inputs["teach"]))
