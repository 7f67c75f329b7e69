"""Unpaired image translation: horses to zebras, day to night; two sets of images, no pairs (CycleGAN, Zhu et al. 2017).

Both directions are trained together, and either can be compressed: `data.direction` says which. From then on the
original's images are the truth (GAN Compression, Eq. 1), since an input has no target of its own.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from slimgen.data.batches import Pair
from slimgen.data.conversion import Progress
from slimgen.data.look import Look, Looked, look_at_sets
from slimgen.data.prepare_translation import prepare_unpaired
from slimgen.data.prepared import Manifest
from slimgen.errors import CheckpointError, RecipeError
from slimgen.files import GENERATOR, weights_file
from slimgen.metrics.evaluator import fitting_batch
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets.initial import initialise
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Recipe
from slimgen.tasks.cycle import REVERSE, CycleTraining, train_cycle
from slimgen.tasks.guidance import Gan, GanTraining, Truth
from slimgen.tasks.importing import import_pair, named
from slimgen.tasks.stopping import check_stopping, early_stopping
from slimgen.tasks.task import Job, setting_of
from slimgen.tasks.traits import IMAGES, OF_LABEL_MAPS, OF_NOISE, Embedded, Traits
from slimgen.tasks.translation import CHANNELS, Translation
from slimgen.training.distillation import Teacher


class Unpaired(Translation):
    """Two sets of images; a discriminator judges an image alone, and is shown older ones among the new."""

    traits: ClassVar[Traits] = Traits(
        IMAGES, pairs=False, directions=2, embedded=Embedded("unpaired"), refused={**OF_LABEL_MAPS, **OF_NOISE}
    )
    discriminator_inputs = CHANNELS
    history = 50

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raises RecipeError where the discriminator takes pairs, or early stopping has nothing to measure by."""
        inputs = recipe.teach.discriminator.get("inputs", CHANNELS)
        if inputs > max(CHANNELS, recipe.channels.wanted):
            rule = "an image of two sets is judged alone, since it has no partner"
            raise RecipeError(rule, f"teach.discriminator.inputs {inputs}", "leave it out")
        check_stopping(recipe)

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Writes two sets of images as arrays."""
        return prepare_unpaired(folder, out, setting_of(recipe), progress, partners=recipe.data.partners)

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """How two sets are laid out, and which images cannot be used."""
        return look_at_sets(folder, look)

    def teach(self, job: Job) -> Mapping[str, float]:
        """Trains or imports the originals.

        Leaves `generator` and `discriminator.safetensors` of the recipe's direction, and `reverse_generator` and
        `reverse_discriminator.safetensors` of the other: always where they are trained, else what is imported.

        Returns:
            Updates, and the parameters of the direction's generator; what else, see `early_stopping`.

        Raises:
            CheckpointError: what is imported is not there or does not fit.
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
        """Trains a generator in place as one half of a CycleGAN, whose other half is of the same family."""
        gan = Gan(training.generator, training.discriminator)
        other = Gan(*(initialise(copy.deepcopy(net), self.recipe.seed + number) for number, net in enumerate(gan, 2)))
        schedule, steps = training.schedule, training.steps
        both = CycleTraining(training.name, gan, other, schedule, steps, training.ema, until=training.until)
        return train_cycle(job, both)[0]

    def original(self, teach: Path) -> nn.Module:
        """The original generator of the recipe's direction, from the folder that `teach` left; in evaluation mode."""
        net = self.generator()
        net.load_state_dict(load_weights(teach / GENERATOR))
        return net.eval()

    def reverse(self, teach: Path) -> Gan:
        """The originals of the reverse direction, likewise; as they were trained.

        Raises:
            CheckpointError: the originals were imported, and only those of the recipe's direction.
        """
        found = self._new_reverse()
        for part, net in found._asdict().items():
            file = teach / weights_file(f"{REVERSE}{part}")
            if not file.is_file():
                hint = f"name teach.{REVERSE}{part}_checkpoint too, or let both directions be trained"
                raise CheckpointError(f"the {part} of the reverse direction is among the originals", f"no {file}", hint)
            net.load_state_dict(load_weights(file))
        return found

    def _new_reverse(self) -> Gan:
        """The reverse direction's originals, initialised from the recipe's seed and numbers that nothing else takes."""
        return Gan(self.generator(2), self.discriminator(3))

    def _both_ways(self, job: Job) -> dict[str, Pair]:
        """The validation images of either direction, by its generator."""
        found = super().validation(job)
        return {"generator": found, f"{REVERSE}generator": Pair(found.target, found.input)}

    def truth(self, teach: Path) -> Truth:
        """What the original makes of the inputs: the targets are other images."""
        teacher = Teacher(self.compute.ready(self.original(teach)))
        return lambda batch: teacher(batch.input)[0].float()

    @torch.no_grad()
    def validation(self, job: Job) -> Pair:
        """The images on which candidates are measured.

        Metrics of single images compare with what the original makes of the same inputs, even where there are true
        partners: a search on two sets does not know them. All others compare with the set of targets.
        """
        found = super().validation(job)
        if not isinstance(find(self.recipe.objective.metric), PerImage):
            return found
        net, made = self.original(job.inputs["teach"]), []
        for part in torch.split(found.input, fitting_batch(found.input.shape[-2:], self.compute.device)):
            with self.compute.autocast():
                made.append(net(self.compute.place(part)).float().cpu())
        return Pair(found.input, torch.cat(made).contiguous())
