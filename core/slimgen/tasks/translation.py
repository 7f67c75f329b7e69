"""Image translation: networks and losses of pix2pix and CycleGAN's one direction, as phases of a training."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.data.batches import Batches, Pair, whole
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.nets import build_discriminator, build_generator, generator_cost
from slimgen.nets.gates import Arch
from slimgen.recipe import Recipe, Schedule
from slimgen.tasks.guidance import After, Generate, Guidance, Judge, Truth, judging
from slimgen.tasks.job import Job
from slimgen.training.adam import Adam
from slimgen.training.distributed import world
from slimgen.training.fit import Memo, Phase
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
        judged: channels that the discriminator takes; the class says how many where the recipe does not.
        conditional: whether the discriminator judges condition and image together, as pix2pix's does, or the image
            alone, as CycleGAN's; decided by the channels that it takes.
        history: how many generated images CycleGAN's discriminator is shown again.
    """

    judged = CHANNELS
    history = 0

    def __init__(self, recipe: Recipe, compute: Compute) -> None:
        self.recipe, self.compute = recipe, compute
        self.discriminator_options = {"inputs": self.judged, **recipe.teach.discriminator}
        self.judged = self.discriminator_options["inputs"]
        self.conditional = self.judged > CHANNELS

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

    def rivalry(self, discriminator: nn.Module) -> tuple[Judge, Guidance]:
        """How a discriminator is asked, and what a generator learns of it besides its scores: nothing."""
        return judging(discriminator), Guidance()

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

    def phases(
        self,
        generate: Generate,
        judge: Judge,
        generator_groups: Sequence[Mapping[str, Any]],
        discriminator_groups: Sequence[Mapping[str, Any]],
        schedule: Schedule,
        steps: int,
        *,
        pool: ImagePool,
        guidance: Guidance | None = None,
        generator_steps: int = 1,
        after_generator: After | None = None,
        after_discriminator: After | None = None,
    ) -> list[Phase]:
        """The generator's and the discriminator's phase.

        The discriminator judges the images that the generator's phase made, all architectures of the step at once, so
        that none is generated twice and the real ones are judged once.

        Args:
            generate: the generator, as a function of condition, architecture and the step's notes.
            judge: the discriminator, as a function of what it is shown and the architecture.
            generator_groups: parameter groups of the generator's optimizer.
            discriminator_groups: those of the discriminator's.
            schedule: rates and betas.
            steps: length of the training, for the decay.
            pool: what the discriminator was shown before.
            guidance: further terms of the generator's loss, and what is learned with them.
            generator_steps: generator steps for each discriminator step (CF-GAN, Algorithm 4: k).
            after_generator: runs after each generator step.
            after_discriminator: runs after each discriminator step.
        """
        losses, guidance = self.recipe.losses, guidance or Guidance()
        gan = adversarial(losses.gan)
        if guidance.parameters:
            generator_groups = [*generator_groups, {"params": guidance.parameters}]

        def generator_loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
            fake = generate(batch.input, arch, memo).float()
            memo["fake"] = fake.detach()
            wanted = batch if guidance.truth is None else batch._replace(target=guidance.truth(batch))
            terms: dict[str, Tensor] = {}
            if losses.recon:
                terms["recon"] = losses.recon * reconstruction(fake, wanted.target)
            if losses.adversarial:
                scores = judge(self.shown(batch.input, fake), arch).float()
                terms["adversarial"] = losses.adversarial * gan.generator(scores)
            for term in guidance.terms:
                terms |= term(wanted, fake, memo)
            return terms

        def discriminator_loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
            real = self.shown(batch.input, batch.target)
            made = torch.cat([self.shown(batch.input, own["fake"]) for own in memo["each"]])
            scores = judge(torch.cat([real, pool.query(made, memo["step"])]), arch).float()
            return {"loss": gan.discriminator(scores[: len(real)], scores[len(real) :])}

        rate = constant_then_linear(steps, schedule.decay)
        phases = [
            Phase(
                "generator",
                generator_loss,
                adam(generator_groups, schedule.rate, schedule),
                rate,
                after=after_generator,
            )
        ]
        if losses.adversarial:
            phases.append(
                Phase(
                    "discriminator",
                    discriminator_loss,
                    adam(discriminator_groups, schedule.discriminator_rate or schedule.rate, schedule),
                    rate,
                    when=lambda step: step % generator_steps == generator_steps - 1,
                    after=after_discriminator,
                    together=True,
                )
            )
        return phases


def adam(groups: Sequence[Mapping[str, Any]], rate: float, schedule: Schedule) -> Adam:
    """Adam with a schedule's betas over copies of these groups."""
    return Adam([dict(group) for group in groups], rate, schedule.betas)
