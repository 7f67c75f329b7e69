"""Image translation: networks and losses of pix2pix and CycleGAN's one direction, as phases of a training."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.data.batches import Batches, Pair, whole
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.nets import build_discriminator, build_generator, generator_cost
from slimgen.nets.gates import Arch
from slimgen.recipe import Recipe, Schedule
from slimgen.tasks.guidance import Discriminate, GanTraining, Groups, Guidance, Truth, discriminating
from slimgen.tasks.task import Job
from slimgen.training.adam import Adam
from slimgen.training.distributed import world
from slimgen.training.fit import Memo, Phase, Stateful
from slimgen.training.losses import Perceptual, adversarial, reconstruction
from slimgen.training.perceptual import as_features, feature_network
from slimgen.training.pool import ImagePool
from slimgen.training.schedules import constant_then_linear

CHANNELS = 3


class Translation:
    """A generator from images to images, a discriminator, and how they are trained.

    Args:
        recipe: of the run.
        compute: where the networks live.

    Attributes:
        discriminator_inputs: channels that the discriminator takes; the class says how many where the recipe does not.
        conditional: whether the discriminator judges condition and image together, as pix2pix's does, or the image
            alone, as CycleGAN's; decided by the channels that it takes.
        history: how many generated images CycleGAN's discriminator is shown again.
    """

    discriminator_inputs = CHANNELS
    history = 0

    def __init__(self, recipe: Recipe, compute: Compute) -> None:
        self.recipe, self.compute = recipe, compute
        self.discriminator_options = {"inputs": self.discriminator_inputs, **recipe.teach.discriminator}
        self.discriminator_inputs = self.discriminator_options["inputs"]
        self.conditional = self.discriminator_inputs > CHANNELS

    def generator(self, seed: int = 0) -> nn.Module:
        """The original generator, initialised from the recipe's seed and a number of its own."""
        return self.compute.place(build_generator(seed=self.recipe.seed + seed, **self.recipe.teach.generator))

    def discriminator(self, seed: int = 1) -> nn.Module:
        """The original discriminator; likewise."""
        return self.compute.place(build_discriminator(seed=self.recipe.seed + seed, **self.discriminator_options))

    def original_cost(self) -> Cost:
        """What the original generator costs on one image of the recipe's size, in closed form."""
        return generator_cost(height=self.recipe.size, width=self.recipe.size, **self.recipe.teach.generator)

    def pool(self) -> ImagePool:
        """The history of what the discriminator was shown; it passes everything on where there is none."""
        return ImagePool(self.history, self.recipe.seed)

    def shown(self, condition: Tensor, image: Tensor) -> Tensor:
        """What the discriminator sees of an image."""
        return torch.cat([condition, image], 1) if self.conditional else image

    def condition(self, inputs: Tensor) -> Tensor:
        """What a generator is shown of prepared inputs: the images themselves."""
        return inputs

    def picture(self, inputs: Tensor) -> Tensor:
        """Prepared inputs as pictures (N, 3, H, W) in [-1, 1]: the images themselves."""
        return inputs

    def adversary(self, discriminator: nn.Module) -> tuple[Discriminate, Guidance]:
        """How a discriminator is called, and what a generator learns of it besides its scores: nothing."""
        return discriminating(discriminator), Guidance()

    def batches(self, data: Prepared, schedule: Schedule, hold: int = 1) -> dict[str, Callable[[int], Pair]]:
        """The images of train and val as functions from step to batch, this process's share of it.

        Args:
            data: the prepared images.
            schedule: gives the batch.
            hold: how many steps in a row see the same batch; CF-GAN's cycles show one batch to every path.
        """
        rank, processes = world()

        def of(split: str) -> Callable[[int], Pair]:
            source = Batches(
                data.split(split),
                batch=schedule.batch,
                seed=self.recipe.seed,
                crop=self.recipe.size,
                flip=self.recipe.data.flip,
                rank=rank,
                world=processes,
            )

            # The phases of a step, and the steps that hold it, share one batch.
            @lru_cache(maxsize=1)
            def batch(number: int) -> Pair:
                found = source(number)
                inputs, targets = self.compute.place(found.input), self.compute.place(found.target)
                return Pair(self.condition(inputs), targets)

            return lambda step: batch(step // hold)

        return {split: of(split) for split in ("train", "val")}

    def guidance(self, discriminator: nn.Module | None) -> Guidance:
        """The perceptual term of CF-GAN, Eq. 4, where the recipe gives it a weight.

        Args:
            discriminator: the original's, whose features serve where the recipe names no other network; None while
                the original itself is trained, which then goes without.
        """
        losses = self.recipe.losses

        def weighted(distance: Tensor) -> dict[str, Tensor]:
            return {"perceptual": losses.perceptual * distance}

        if losses.perceptual == 0:
            return Guidance()
        if losses.perceptual_network != "discriminator":
            network = self.compute.place(feature_network(losses.perceptual_network))
            alone = Perceptual(as_features(network))
            return Guidance((lambda batch, fake, memo: weighted(alone(fake, batch.target)),))
        if discriminator is None:
            return Guidance()
        discriminator.eval().requires_grad_(False)
        together = Perceptual(discriminator.features)  # type: ignore[arg-type]

        def term(batch: Pair, fake: Tensor, memo: Memo) -> dict[str, Tensor]:
            return weighted(together(self.shown(batch.input, fake), self.shown(batch.input, batch.target)))

        return Guidance((term,))

    def truth(self, teach: Path) -> Truth | None:
        """What a compressed generator should make of a batch, where not its targets.

        Args:
            teach: the folder of the originals.
        """
        return None

    def validation(self, job: Job) -> Pair:
        """The images on which candidates are measured, and what they are compared with: whole, in order."""
        return whole(job.data.split("val"), self.recipe.objective.images)

    def phases(self, training: GanTraining) -> tuple[list[Phase], Mapping[str, Stateful]]:
        """The generator's and the discriminator's phase, and the history of what the discriminator was shown.

        The discriminator judges the images that the generator's phase made, all architectures of the step at once, so
        that none is generated twice and the real ones are judged once.
        """
        losses, schedule, pool = self.recipe.losses, training.schedule, self.pool()
        generator, generate, draw = training.generator, training.generate, training.draw
        adversary, besides = self.adversary(training.discriminator)
        discriminate, guidance = training.discriminate or adversary, training.guidance.plus(besides)
        gan, rate = adversarial(losses.gan), constant_then_linear(training.steps, schedule.decay)

        def generator_loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
            if generate is not None:
                fake = generate(batch.input, arch, memo).float()
            else:
                fake = (generator(batch.input) if draw is None else generator(batch.input, arch)).float()
            memo.fakes.append(fake.detach())
            wanted = batch if guidance.truth is None else batch._replace(target=guidance.truth(batch))
            terms: dict[str, Tensor] = {}
            if losses.recon:
                terms["recon"] = losses.recon * reconstruction(fake, wanted.target)
            if losses.adversarial:
                scores = discriminate(self.shown(batch.input, fake), arch).float()
                terms["adversarial"] = losses.adversarial * gan.generator(scores)
            for term in guidance.terms:
                terms |= term(wanted, fake, memo)
            return terms

        def discriminator_loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
            real = self.shown(batch.input, batch.target)
            made = torch.cat([self.shown(batch.input, fake) for fake in memo.fakes])
            scores = discriminate(torch.cat([real, pool.query(made, memo.step)]), arch).float()
            return {"loss": gan.discriminator(scores[: len(real)], scores[len(real) :])}

        moved = adam(training.moved, schedule.rate, schedule)
        phases = [Phase("generator", generator_loss, moved, rate, after=training.after_generator)]
        if losses.adversarial:
            steps, rates = training.generator_steps, schedule.discriminator_rate or schedule.rate
            phases.append(
                Phase(
                    "discriminator",
                    discriminator_loss,
                    adam([{"params": list(training.discriminator.parameters())}], rates, schedule),
                    rate,
                    when=lambda step: step % steps == steps - 1,
                    after=training.after_discriminator,
                    draw=None if draw is None else lambda step: draw(step)[:1],
                )
            )
        return phases, {"pool": pool}


def adam(groups: Groups, rate: float, schedule: Schedule) -> Adam:
    """Adam with a schedule's betas over copies of these groups."""
    return Adam([dict(group) for group in groups], rate, schedule.betas)
