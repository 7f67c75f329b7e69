"""Paired image translation: pix2pix's networks and losses, as phases of a training."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.data.batches import Batches, Pair
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.nets import build_discriminator, build_generator, generator_cost
from slimgen.nets.gates import Arch
from slimgen.recipe import Recipe, Schedule
from slimgen.training.distributed import world
from slimgen.training.fit import Memo, Phase
from slimgen.training.losses import Perceptual, adversarial, reconstruction
from slimgen.training.perceptual import as_features, feature_network
from slimgen.training.schedules import constant_then_linear

Generate = Callable[[Tensor, Arch], Tensor]
"""Condition (N, C, H, W) and architecture to images (N, C', H, W) in [-1, 1]."""
Judge = Callable[[Tensor, Arch], Tensor]
"""Condition and image, joined in channels, and architecture to patch scores."""

After = Callable[[Phase, Sequence[Arch]], None]
"""What follows an optimizer's step."""


class Paired:
    """Images with their targets: edges to shoes, labels to photographs, maps to aerial photographs.

    Args:
        recipe: of the run.
        compute: where the networks live.
    """

    def __init__(self, recipe: Recipe, compute: Compute) -> None:
        self.recipe, self.compute = recipe, compute

    def generator(self) -> nn.Module:
        """The original generator, initialised from the recipe's seed."""
        return self.compute.place(build_generator(seed=self.recipe.seed, **self.recipe.teach.generator))

    def discriminator(self) -> nn.Module:
        """The original discriminator, which judges condition and image together."""
        options = {"inputs": 6, **self.recipe.teach.discriminator}
        return self.compute.place(build_discriminator(seed=self.recipe.seed + 1, **options))

    def original_cost(self) -> Cost:
        """What the original generator costs on one image of the recipe's size, in closed form."""
        return generator_cost(height=self.recipe.size, width=self.recipe.size, **self.recipe.teach.generator)

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
                return Pair(self.compute.place(found.input), self.compute.place(found.target))

            return lambda step: batch(step // hold)

        return {split: of(split) for split in ("train", "val")}

    def perceptual(self, discriminator: nn.Module | None) -> Callable[[Pair, Tensor], Tensor] | None:
        """The perceptual term of CF-GAN, Eq. 4, or None where the recipe gives it no weight.

        Args:
            discriminator: the original's, whose features serve where the recipe names no other network; None while
                the original itself is trained, which then goes without.
        """
        losses = self.recipe.losses
        if losses.perceptual == 0:
            return None
        if losses.perceptual_network != "discriminator":
            network = self.compute.place(feature_network(losses.perceptual_network))
            distance = Perceptual(as_features(network))
            return lambda batch, fake: distance(fake, batch.target)
        if discriminator is None:
            return None
        discriminator.eval().requires_grad_(False)
        distance = Perceptual(discriminator.features)  # type: ignore[arg-type]
        return lambda batch, fake: distance(
            torch.cat([batch.input, fake], 1), torch.cat([batch.input, batch.target], 1)
        )

    def phases(
        self,
        generate: Generate,
        judge: Judge,
        generator_groups: Sequence[Mapping[str, Any]],
        discriminator_groups: Sequence[Mapping[str, Any]],
        schedule: Schedule,
        steps: int,
        *,
        perceptual: Callable[[Pair, Tensor], Tensor] | None = None,
        generator_steps: int = 1,
        after_generator: After | None = None,
        after_discriminator: After | None = None,
    ) -> list[Phase]:
        """The generator's and the discriminator's phase.

        The discriminator judges the images that the generator's phase made, all architectures of the step at once, so
        that none is generated twice and the real ones are judged once.

        Args:
            generate: the generator, as a function of condition and architecture.
            judge: the discriminator, likewise.
            generator_groups: parameter groups of the generator's optimizer.
            discriminator_groups: those of the discriminator's.
            schedule: rates and betas.
            steps: length of the training, for the decay.
            perceptual: the perceptual term.
            generator_steps: generator steps for each discriminator step (CF-GAN, Algorithm 4: k).
            after_generator: runs after each generator step.
            after_discriminator: runs after each discriminator step.
        """
        losses = self.recipe.losses
        gan = adversarial(losses.gan)

        def generator_loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
            fake = generate(batch.input, arch).float()
            memo["fake"] = fake.detach()
            terms = {"recon": losses.recon * reconstruction(fake, batch.target)}
            if losses.adversarial:
                scores = judge(torch.cat([batch.input, fake], 1), arch).float()
                terms["adversarial"] = losses.adversarial * gan.generator(scores)
            if perceptual is not None:
                terms["perceptual"] = losses.perceptual * perceptual(batch, fake)
            return terms

        def discriminator_loss(batch: Pair, arch: Arch, memo: Memo) -> dict[str, Tensor]:
            fakes = [own["fake"] for own in memo["each"]]
            shown = torch.cat([batch.target, *fakes])
            conditions = batch.input.repeat(len(fakes) + 1, 1, 1, 1)
            scores = judge(torch.cat([conditions, shown], 1), arch).float()
            real, fake = scores[: len(batch.target)], scores[len(batch.target) :]
            return {"loss": gan.discriminator(real, fake)}

        rate = constant_then_linear(steps, schedule.decay)
        slow = schedule.discriminator_rate or schedule.rate
        phases = [
            Phase(
                "generator",
                generator_loss,
                torch.optim.Adam(
                    [dict(group) for group in generator_groups], schedule.rate, schedule.betas, fused=True
                ),
                rate,
                after=after_generator,
            )
        ]
        if losses.adversarial:
            optimizer = torch.optim.Adam(
                [dict(group) for group in discriminator_groups], slow, schedule.betas, fused=True
            )
            phases.append(
                Phase(
                    "discriminator",
                    discriminator_loss,
                    optimizer,
                    rate,
                    when=lambda step: step % generator_steps == generator_steps - 1,
                    after=after_discriminator,
                    together=True,
                )
            )
        return phases


def plain(net: nn.Module) -> Generate:
    """A network of one architecture as a function that ignores which."""

    def run(images: Tensor, arch: Arch) -> Tensor:
        out: Tensor = net(images)
        return out

    return run
