"""Unpaired image translation: horses to zebras, day to night; two sets of images, no pairs (CycleGAN, Zhu et al. 2017).

Both directions are trained together, and either can be compressed: `data.direction` says which. From then on the
original's images are the truth (GAN Compression, Eq. 1), since an input has no target of its own.
"""

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from slimgen.data.batches import Pair
from slimgen.device import Compute
from slimgen.errors import CheckpointError, RecipeError
from slimgen.metrics.evaluator import fitting_batch
from slimgen.metrics.kinds import PerImage
from slimgen.metrics.registry import find
from slimgen.nets.initial import initialise
from slimgen.nets.weights import load_weights, save_weights
from slimgen.recipe import Recipe
from slimgen.tasks.cycle import CycleTraining, Gan, train_cycle
from slimgen.tasks.gan import GanTraining, imported, originals
from slimgen.tasks.guidance import Truth
from slimgen.tasks.task import Job
from slimgen.tasks.translation import CHANNELS, Translation
from slimgen.training.distillation import Teacher

__all__ = ["Unpaired"]


BACK = "back_"
"""Begins the names of what belongs to the other direction."""


class Unpaired(Translation):
    """Two sets of images; a discriminator judges an image alone, and is shown older ones among the new.

    Raises:
        RecipeError: the recipe's discriminator takes pairs.
    """

    discriminator_inputs = CHANNELS
    history = 50

    def __init__(self, recipe: Recipe, compute: Compute) -> None:
        super().__init__(recipe, compute)
        if self.conditional:
            rule = "an image of two sets is judged alone, since it has no partner"
            raise RecipeError(rule, f"teach.discriminator.inputs {self.discriminator_inputs}", "leave it out")

    def teach(self, job: Job) -> Mapping[str, float]:
        """Trains or imports the originals.

        Leaves `generator` and `discriminator.safetensors` of the recipe's direction, and `back_generator` and
        `back_discriminator.safetensors` of the other: always where they are trained, else what is imported.

        Returns:
            Updates, and the parameters of the direction's generator.

        Raises:
            CheckpointError: what is imported is not there or does not fit.
            RecipeError: nothing is imported, and the adversarial loss is switched off.
        """
        options, updates = self.recipe.teach, 0
        forth, back = Gan(*originals(self)), self._newly_back()
        named = {"generator": options.back_generator_checkpoint, "discriminator": options.back_discriminator_checkpoint}
        for part, path in named.items():
            if path is not None:
                imported(getattr(back, part), path)
        trained = options.generator_checkpoint is None
        if trained:
            updates = options.steps(len(job.data.split("train")))
            training = CycleTraining("teacher", forth, back, options, updates, ema=options.ema)
            nets = train_cycle(job, training)
            forth, back = forth._replace(generator=nets[0]), back._replace(generator=nets[1])
        for part, net in forth._asdict().items():
            save_weights(job.out / f"{part}.safetensors", net.state_dict())
        for part, net in back._asdict().items():
            if trained or named[part] is not None:
                save_weights(job.out / f"{BACK}{part}.safetensors", net.state_dict())
        return {"updates": updates, "params": self.original_cost().params}

    def train_original(self, job: Job, training: GanTraining) -> nn.Module:
        """Trains a generator in place as one half of a CycleGAN, whose other half is of the same family."""
        seed, gan = self.recipe.seed, Gan(training.generator, training.discriminator)
        copies = (copy.deepcopy(net) for net in gan)
        other = Gan(*(initialise(net, seed + number) for number, net in enumerate(copies, 2)))
        name, schedule, steps, ema = training.name, training.schedule, training.steps, training.ema
        return train_cycle(job, CycleTraining(name, gan, other, schedule, steps, ema))[0]

    def original(self, teach: Path) -> nn.Module:
        """The original generator of the recipe's direction, from the folder that `teach` left; in evaluation mode."""
        net = self.generator()
        net.load_state_dict(load_weights(teach / "generator.safetensors"))
        return net.eval()

    def back(self, teach: Path) -> Gan:
        """The originals of the other direction, likewise; as they were trained.

        Raises:
            CheckpointError: the originals were imported, and only those of the recipe's direction.
        """
        found = self._newly_back()
        for part, net in found._asdict().items():
            file = teach / f"{BACK}{part}.safetensors"
            if not file.is_file():
                hint = f"name teach.{BACK}{part}_checkpoint too, or let both directions be trained"
                raise CheckpointError(f"the {part} of the other direction is among the originals", f"no {file}", hint)
            net.load_state_dict(load_weights(file))
        return found

    def _newly_back(self) -> Gan:
        """The other direction's originals, initialised from the recipe's seed and numbers of their own."""
        return Gan(self.generator(2), self.discriminator(3))

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
