"""Image translation: networks and losses of pix2pix and of one direction of CycleGAN, as phases of a training."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slimgen.data.batches import Batches, Pair, whole
from slimgen.data.pictures import PicturePair
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.metrics.evaluator import fitting_batch
from slimgen.nets.supernet import Arch
from slimgen.recipe import Recipe, Schedule
from slimgen.size import Size
from slimgen.tasks.channels import check_perceptual
from slimgen.tasks.gan import Original
from slimgen.tasks.guidance import Discriminate, GanTraining, Groups, Guidance, Truth
from slimgen.tasks.task import Job
from slimgen.tasks.traits import Shapes
from slimgen.training.distributed import world
from slimgen.training.fit import Memo, Phase, Stateful
from slimgen.training.losses import adversarial, feature_network, perceptual, reconstruction
from slimgen.training.optimizers import Adam, constant_then_linear
from slimgen.training.pool import ImagePool

CHANNELS = 3


class Translation(Original):
    """Common part of tasks from images to images: generator, discriminator and their training.

    Attributes:
        conditional: whether the discriminator sees condition and image together, as in pix2pix, or only the image, as
            in CycleGAN; decided by its input channels.
        history: size of the image pool from which CycleGAN's discriminator sees earlier generated images.
    """

    discriminator_inputs = CHANNELS
    history = 0

    def __init__(self, recipe: Recipe, compute: Compute) -> None:
        super().__init__(recipe, compute)
        self.discriminator_inputs = self.discriminator_options["inputs"]
        self.conditional = self.discriminator_inputs > recipe.channels.wanted

    @property
    def discriminator_options(self) -> Mapping[str, Any]:
        """Family and options of the discriminator."""
        return {"inputs": self.discriminator_inputs, **self.recipe.teach.discriminator}

    def shapes(self, data: Prepared) -> Shapes:
        """Return the shapes of a generator's input and output for these images, both of the recipe's size."""
        split, size = data.split("test"), self.recipe.size
        given = self.condition(torch.full((1, split.input.shape[3], 1, 1), -1.0)).shape[1]
        return Shapes((given, *size), (split.target.shape[3], *size))

    def pool(self, seed: int = 0) -> ImagePool:
        """Return an image pool of generated images; with a `history` of 0 it passes images on unchanged."""
        return ImagePool(self.history, self.recipe.seed + seed)

    def shown(self, condition: Tensor, image: Tensor) -> Tensor:
        """Return the discriminator's input for an image."""
        return torch.cat([condition, image], 1) if self.conditional else image

    def picture(self, inputs: Tensor) -> Tensor:
        """Return prepared inputs as pictures (N, C, H, W) in [-1, 1]: the images themselves."""
        return inputs

    def adversary(self, discriminator: nn.Module) -> tuple[Discriminate, Guidance]:
        """Return the function that calls a discriminator, and an empty guidance: a generator uses only its scores."""
        return lambda inputs, arch: discriminator(inputs), Guidance()

    @property
    def crop(self) -> Size:
        """The size of the images of a batch, which are cut from the prepared ones."""
        return self.recipe.size

    def given(self, inputs: Tensor, targets: Tensor) -> Pair:
        """Return a batch on its device: the generator's inputs, and the targets."""
        return Pair(self.condition(self.compute.place(inputs)), self.compute.place(targets))

    def batches(self, data: Prepared, schedule: Schedule, hold: int = 1) -> dict[str, Callable[[int], Pair]]:
        """Return, for train and val, a function from step to this process's share of the batch.

        `hold` consecutive steps get the same batch; CF-GAN's cycles give one batch to every path.
        """
        rank, processes = world()

        def of(split: str) -> Callable[[int], Pair]:
            images, seed, crop, flip = data.split(split), self.recipe.seed, self.crop, self.recipe.data.flip
            count = schedule.batch
            source = Batches(images, batch=count, seed=seed, crop=crop, flip=flip, rank=rank, world=processes)

            # The phases of a step share one batch, and so do the steps that hold it.
            @lru_cache(maxsize=1)
            def batch(number: int) -> Pair:
                return self.given(*source(number))

            return lambda step: batch(step // hold)

        return {split: of(split) for split in ("train", "val")}

    def guidance(self, discriminator: nn.Module | None) -> Guidance:
        """Return the perceptual term of CF-GAN, Eq. 4, if the recipe gives it a weight.

        It compares features of the original's discriminator unless the recipe names another network. While the
        original itself is trained, the discriminator is None, and there is no such term.
        """
        losses = self.recipe.losses
        check_perceptual(losses, self.recipe.channels.wanted)
        features: Callable[[Tensor], Any]
        if losses.perceptual and losses.perceptual_network != "discriminator":
            network = feature_network(losses.perceptual_network, losses.before_activation)
            features, alone = self.compute.place(network), True
        elif losses.perceptual and discriminator is not None:
            features, alone = discriminator.eval().requires_grad_(False).features, False  # type: ignore[assignment]
        else:
            return Guidance()

        def seen(batch: Pair, image: Tensor) -> Tensor:
            if not alone:
                return self.shown(batch.input, image)
            return image.expand(-1, CHANNELS, -1, -1) if image.shape[1] == 1 else image  # grey: three equal channels

        @torch.no_grad()
        def wanted_of(batch: Pair) -> Any:
            return features(seen(batch, batch.target))

        held: list[tuple[Tensor, Any]] = []

        def term(batch: Pair, fake: Tensor, memo: Memo) -> dict[str, Tensor]:
            # Computed once for all architectures of a step and all steps that hold the batch.
            if not held or held[0][0] is not batch.target:
                held[:] = [(batch.target, wanted_of(batch))]
            return {"perceptual": losses.perceptual * perceptual(features, seen(batch, fake), held[0][1])}

        return Guidance((term,))

    def truth(self, teach: Path) -> Truth | None:
        """Return None: a batch's own targets are the wanted outputs."""
        return None

    @torch.no_grad()
    def answered(self, images: Pair, original: nn.Module) -> Pair:
        """Return images with an original's outputs as targets, float32 on the CPU."""
        made = []
        for part in torch.split(images.input, fitting_batch(images.input.shape[-2:], self.compute.device)):
            with self.compute.autocast():
                made.append(original(self.compute.place(part)).float().cpu())
        return Pair(images.input, torch.cat(made).contiguous())

    def validation(self, job: Job) -> Pair:
        """Return the validation images with their targets, whole and in order."""
        return whole(job.data.split("val"), self.recipe.objective.images)

    def test(self, data: Prepared) -> Pair | PicturePair:
        """Return the test images with their targets, whole and in order."""
        return whole(data.split("test"), self.recipe.evaluate.images)

    def columns(self, test: Any, count: int, paired: bool) -> dict[str, Tensor]:
        """Return the first inputs as pictures (count, C, H, W), and their targets if they are paired."""
        found = {"input": self.picture(test.input[:count])}
        return {**found, "target": test.target[:count]} if paired else found

    def phases(self, training: GanTraining) -> tuple[list[Phase], Mapping[str, Stateful]]:
        """Return the phases of generator and discriminator, and the discriminator's image pool.

        The discriminator sees the images of the generator's phase, those of all architectures of the step at once: no
        image is generated twice, and real images pass through the discriminator once.
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
                real = partial(discriminate, self.shown(batch.input, batch.target), arch)
                terms["adversarial"] = losses.adversarial * gan.passing(scores, real)
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
    """Return Adam with a schedule's betas, over copies of these parameter groups."""
    return Adam([dict(group) for group in groups], rate, schedule.betas)
