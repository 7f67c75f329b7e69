"""AlphaGAN's players, and the gap between them (Tian et al., section 4.1)."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.methods.alphagan.options import GUMBEL, SupernetOptions
from slimgen.nets.alphagan.description import AlphaShape
from slimgen.nets.alphagan.supernet import AlphaSupernet, NoiseSuperDiscriminator
from slimgen.nets.initial import initialise
from slimgen.nets.relaxation import Relaxation, Temperature
from slimgen.nets.sngan.discriminator import NoiseDiscriminator
from slimgen.nets.supernet import Gates, Supernet
from slimgen.tasks.task import Job, from_noise
from slimgen.training.losses import Adversarial


@dataclass(frozen=True)
class Player:
    """A supernet with the logits of its operations, or, without a relaxation, a network of fixed architecture."""

    net: nn.Module
    relaxation: Relaxation | None = None

    def __call__(self, inputs: Tensor, step: int, gates: Gates | None = None) -> Tensor:
        """Return the output for noise or images (N, ...) at a step; without `gates`, its own, as constants."""
        if self.relaxation is None:
            out: Tensor = self.net(inputs)
            return out
        out = self.net(inputs, self.relaxation.detached(step) if gates is None else gates)
        return out

    def gates(self, step: int) -> Gates | None:
        """Return its gates, through which gradients reach its logits; None for a fixed architecture."""
        return None if self.relaxation is None else self.relaxation.gates(step)

    def twin(self) -> "Player":
        """Return a copy whose parameters require no gradients; a phase that trains it switches them on."""
        made = copy.deepcopy((self.net, self.relaxation))
        for part in made:
            if part is not None:
                part.requires_grad_(False)
        return Player(*made)

    def follow(self, other: "Player") -> None:
        """Copy another player's weights, buffers and logits."""
        self.net.load_state_dict(other.net.state_dict())
        if self.relaxation is not None and other.relaxation is not None:
            self.relaxation.load_state_dict(other.relaxation.state_dict())

    def parts(self, name: str) -> dict[str, nn.Module]:
        """Return the modules that a checkpoint holds of it, by name."""
        logits = {} if self.relaxation is None else {f"{name}.relaxation": self.relaxation}
        return {name: self.net, **logits}


class Playing(nn.Module):
    """A player at one step, as a module that contains its network."""

    def __init__(self, player: Player, step: int) -> None:
        super().__init__()
        self.net, self.player, self.step = player.net, player, step

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the player's output for its inputs."""
        return self.player(inputs, self.step)


class Players(NamedTuple):
    """G and D, and the bars: the best response of each to the other as it is."""

    generator: Player
    discriminator: Player
    generator_bar: Player
    discriminator_bar: Player

    @property
    def parts(self) -> dict[str, nn.Module]:
        """All modules of the players, by name."""
        return {name: part for player, own in self._asdict().items() for name, part in own.parts(player).items()}


def players(job: Job, options: SupernetOptions, steps: int) -> Players:
    """Build both supernets, or a supernet and the fixed discriminator, and their bars, from the recipe's seed."""
    seed, channels = job.recipe.seed, options.discriminator_channels
    wide = job.recipe.channels.wanted
    shape = AlphaShape(options.channels, from_noise(job.task).latent, job.recipe.size, wide, options.interpolation)
    generator = AlphaSupernet(shape, options.deconvolution, options.recompute)
    made = [_player(job, initialise(generator, seed), options, seed, steps)]
    discriminator: nn.Module = NoiseDiscriminator(inputs=wide, channels=channels)
    if options.discriminator == "searched":
        discriminator = NoiseSuperDiscriminator(wide, channels, options.recompute)
    made.append(_player(job, initialise(discriminator, seed + 1), options, seed + 1, steps))
    return Players(*made, *(player.twin() for player in made))


def _player(job: Job, net: nn.Module, options: SupernetOptions, seed: int, steps: int) -> Player:
    """Return a network as a player, with logits of its operations if it is a supernet."""
    place = job.compute.place
    if not isinstance(net, Supernet):
        return Player(place(net).train())
    temperature = Temperature(*options.temperature, max(1, steps - 1)) if options.relaxation in GUMBEL else None
    kind, spread = options.relaxation, options.spread
    relaxation = Relaxation(net.space, seed=seed, spread=spread, kind=kind, temperature=temperature)
    return Player(place(net).train(), place(relaxation))


Value = Callable[[Tensor, Tensor], Tensor]
"""Scores of real and of generated images to the scalar that D maximises and G minimises."""
See = Callable[[Tensor], None]


def value_of(gan: Adversarial, scores: bool = False) -> Value:
    """Return Adv of Eq. 3 as a function of scores: by the adversarial loss, or of the `scores` themselves.

    Eq. 5 prints the hinge loss that D minimises; only its negative makes Eq. 3 a gap, which is never below 0. The
    discriminator losses here are means over real and generated images, while Eq. 5 is a sum, hence the factor 2.

    The scores' own is mean(D(x)) - mean(D(G(z))): that of the hinge loss plus 2 as long as all scores are within -1 and
    1. Unlike it, it has the same slope everywhere, so that G also learns from images which D-bar is sure of.
    """
    if scores:
        return lambda real, fake: real.mean() - fake.mean()
    return lambda real, fake: -2 * gan.discriminator(real, fake)  # Eq. 5


def adv(
    discriminator: Player,
    real: Tensor,
    fake: Tensor,
    step: int,
    value: Value,
    gates: Gates | None = None,
    see: See | None = None,
) -> Tensor:
    """Return the scalar that D maximises and G minimises, for one batch; `see` gets the generated images' scores."""
    scores = discriminator(torch.cat([real, fake]), step, gates).float()
    if see is not None:
        see(scores[len(real) :])
    return value(scores[: len(real)], scores[len(real) :])


def gap(
    players: Players, batch: Pair, step: int, value: Value, coupled: bool = False, see: See | None = None
) -> dict[str, Tensor]:
    """Return the duality gap of Eq. 3, V = Adv(G, D-bar) - Adv(G-bar, D), as its two terms.

    Each side's logits learn through its own term: the generator's through G against D-bar, a searched discriminator's
    through D against G-bar. The bars' architectures are constants unless `coupled`: then G-bar has G's gates, and
    gradients pass through them as well. G and G-bar get the same noise. `see` gets D-bar's scores of G's images.

    Returns:
        The terms of the sum V: `worst` = Adv(G, D-bar), G against its strongest discriminator, and
        `best` = -Adv(G-bar, D), minus D against its strongest generator.
    """
    generator, discriminator, generator_bar, _ = players
    gates, own = generator.gates(step), discriminator.gates(step)
    first = worst(players, batch, step, value, gates, see)
    # Without gradients, the term is only logged.
    with torch.set_grad_enabled(coupled or own is not None):
        best = generator_bar(batch.input, step, gates if coupled else None).float()
        other = adv(discriminator, batch.target, best, step, value, own)
    return {"worst": first, "best": -other}  # Eq. 3


def worst(
    players: Players, batch: Pair, step: int, value: Value, gates: Gates | None = None, see: See | None = None
) -> Tensor:
    """Return the gap's first term, Adv(G, D-bar), from which the generator's logits learn; arguments as for `gap`."""
    generator = players.generator
    fake = generator(batch.input, step, generator.gates(step) if gates is None else gates).float()
    return adv(players.discriminator_bar, batch.target, fake, step, value, see=see)
