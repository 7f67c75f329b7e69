"""What the rest of slimgen asks of a task, so that nobody asks for its name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Given = Literal["images", "label maps", "noise"]
IMAGES: Given = "images"
LABEL_MAPS: Given = "label maps"
NOISE: Given = "noise"

OF_LABEL_MAPS = {"data": ("classes", "unknown", "instances", "palette"), "losses": ("feature",)}
"""Keys of a recipe, by section, that label maps alone have."""
OF_NOISE = {
    **dict.fromkeys(("teach", "finetune", "supernet"), ("discriminator_batch", "discriminator_steps")),
    "evaluate": ("against",),
}
"""Keys that generators of noise alone have."""


class Shapes(NamedTuple):
    """Of what a generator is given, (channels, height, width) or the length of noise, and of the image it makes of it.

    Neither need be square or of three channels, and an image may be larger than what it is made of.
    """

    given: tuple[int, ...]
    wanted: tuple[int, int, int]


@dataclass(frozen=True)
class Embedded:
    """The part of the embedded set that a task learns from.

    Attributes:
        layout: in which it is drawn.
        times: as many pictures, or a part of as many, as the set in data.dvc has, which other layouts than its own do
            not share.
        tracked: whether the pictures of data.dvc, in the folder `data`, do as well.
    """

    layout: str
    times: float = 1
    tracked: bool = True


@dataclass(frozen=True)
class Traits:
    """What is known of a task before it is opened.

    Attributes:
        pairs: whether every input has a target that is known in training.
        embedded: its part of the embedded set.
        single: whether images come alone, and what is given and what is wanted are both made of each.
        directions: how many directions are trained together.
        refused: keys of a recipe that have no effect, by section.
        reads: the values of a generator's input, for the card, where they are no pictures.
    """

    given: Given
    pairs: bool
    embedded: Embedded
    single: bool = False
    directions: int = 1
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reads: str | None = None
