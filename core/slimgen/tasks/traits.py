"""Traits of a task, which the rest of slimgen uses instead of the task's name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Given = Literal["images", "label maps", "noise"]
IMAGES: Given = "images"
LABEL_MAPS: Given = "label maps"
NOISE: Given = "noise"

OF_LABEL_MAPS = {"data": ("classes", "unknown", "instances", "palette"), "losses": ("feature",)}
"""Keys of a recipe, by section, that only label maps use."""
OF_NOISE = {
    **dict.fromkeys(("teach", "finetune", "supernet"), ("discriminator_batch", "discriminator_steps")),
    "evaluate": ("against",),
}
"""Keys that only generators from noise use."""


OF_SCALES = {"data": ("scale", "turn"), "evaluate": ("tile", "overlap")}
"""Keys that only generators that enlarge use."""


class Shapes(NamedTuple):
    """Shapes of a generator's input, (channels, height, width) or (noise length,), and of its output image.

    Neither need be square or have three channels, and the output may be larger than the input.
    """

    given: tuple[int, ...]
    wanted: tuple[int, int, int]


@dataclass(frozen=True)
class Embedded:
    """Part of the embedded data set that a task learns from.

    Attributes:
        layout: layout in which it is drawn.
        times: number of pictures, as a multiple of those tracked by data.dvc.
        margin: how many times larger than the generator's outputs they are, so that patches can be taken.
        tracked: whether the task can use the pictures tracked by data.dvc, in the folder `data`, instead.
    """

    layout: str
    times: float = 1
    margin: int = 1
    tracked: bool = True


@dataclass(frozen=True)
class Traits:
    """Properties of a task, known before it is created.

    Attributes:
        given: kind of input that a generator takes.
        pairs: whether every input has a target that is known in training.
        embedded: its part of the embedded data set.
        single: whether the data set has single images, from each of which both input and target are made.
        enlarges: whether a generator may enlarge pictures, by `data.scale`.
        directions: number of directions that are trained together.
        refused: recipe keys without effect in this task, by section.
        reads: description of a generator's input values for the card, where the input is no picture.
    """

    given: Given
    pairs: bool
    embedded: Embedded
    single: bool = False
    enlarges: bool = False
    directions: int = 1
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reads: str | None = None
