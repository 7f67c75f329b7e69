"""Single pictures that are shown to a generator that is trained already: to see what it makes of them, and how well.

A generator whose images are as large as what it is given has no known answer, so none of its pictures is scored. One
that enlarges, `data.scale` times, is given pictures made smaller (bicubic, antialiased) and compared with the pictures
themselves, beside bicubic enlarging.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor
from torch.nn import functional

from slimgen.data.batches import Pair, whole
from slimgen.data.conversion import Progress
from slimgen.data.look import Look, Looked, look_at_images
from slimgen.data.prepare_images import prepare_single
from slimgen.data.prepared import Manifest, Prepared
from slimgen.errors import RecipeError
from slimgen.files import GENERATOR
from slimgen.nets import build_generator
from slimgen.nets.weights import save_weights
from slimgen.recipe import Channels, Recipe, Schedule
from slimgen.size import Size
from slimgen.tasks.channels import following
from slimgen.tasks.gan import GanTraining, Original
from slimgen.tasks.importing import import_part
from slimgen.tasks.task import Job, setting_of
from slimgen.tasks.traits import IMAGES, OF_LABEL_MAPS, OF_NOISE, Embedded, Shapes, Traits
from slimgen.training.fit import Phase, Stateful

CHANNELS = 3
_TRAINED = "generators are only shown pictures in this task"
_ELSEWHERE = "choose a task that trains, such as those of pairs or of two sets"


class Single(Original):
    """A generator that is shown pictures, and trained nowhere."""

    traits: ClassVar[Traits] = Traits(
        IMAGES,
        pairs=False,
        single=True,
        embedded=Embedded("images", times=0.05, tracked=False),
        refused={
            **OF_LABEL_MAPS,
            **OF_NOISE,
            "data": ("direction", "load", "validation", "test", "partners", "flip", *OF_LABEL_MAPS["data"]),
        },
    )
    discriminator_inputs = CHANNELS

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raises RecipeError unless the generator is imported and enlarges as is said, and metrics have a truth."""
        if recipe.teach.generator_checkpoint is None:
            raise RecipeError(_TRAINED, "no teach.generator_checkpoint", _ELSEWHERE)
        found = scale_of(recipe.teach.generator, recipe.size)
        if found != recipe.data.scale:
            rule = "data.scale must be how many times a generator enlarges what it is given"
            raise RecipeError(rule, f"{recipe.data.scale}, of one that enlarges {found} times", f"set it to {found}")
        if found == 1 and recipe.evaluate.metrics:
            rule = "of a generator that does not enlarge, nobody knows what it should make of single pictures"
            hint = "set evaluate.metrics to [], or choose a task of pairs or of two sets"
            raise RecipeError(rule, f"evaluate.metrics {', '.join(recipe.evaluate.metrics)}", hint)

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """As every task's, of images from which both ends of the generator are."""
        wanted = channels.wanted
        followed = following(recipe, Channels(wanted, wanted), given=True, judged=(wanted,))
        scale_of(followed.teach.generator, recipe.size, wanted)
        return followed

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Writes images as arrays, all of them to test on, as large as the generator makes them."""
        made = Size(*(recipe.data.scale * side for side in recipe.size))
        return prepare_single(folder, out, replace(setting_of(recipe), size=made, load=made), progress)

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """How images are laid out, and which cannot be used."""
        return look_at_images(folder, look)

    def shapes(self, data: Prepared) -> Shapes:
        """Of a picture made smaller, and of the picture itself."""
        height, width, channels = data.split("test").target.shape[1:]
        times = self.recipe.data.scale
        return Shapes((channels, height // times, width // times), (channels, height, width))

    def teach(self, job: Job) -> Mapping[str, float]:
        """Imports the generator; leaves `generator.safetensors`.

        Raises:
            CheckpointError: it is not there or does not fit.
        """
        generator = self.generator()
        import_part(job, generator)
        save_weights(job.out / GENERATOR, generator.state_dict())
        return {"updates": 0.0, "params": self.original_cost().params}

    def test(self, data: Prepared) -> Pair:
        """What the generator is given, and the pictures that it was made of, whole, in order."""
        pictures = whole(data.split("test"), self.recipe.evaluate.images).target
        return Pair(smaller(pictures, self.recipe.data.scale), pictures)

    def columns(self, test: Pair, count: int, paired: bool) -> dict[str, Tensor]:
        """The first inputs, and, of a generator that enlarges, the pictures themselves."""
        found = {"input": test.input[:count]}
        return found if self.recipe.data.scale == 1 else {**found, "target": test.target[:count]}

    def references(self, test: Pair) -> dict[str, Tensor]:
        """What bicubic enlarging makes of the inputs, where anything is to be enlarged."""
        times = self.recipe.data.scale
        return {} if times == 1 else {"bicubic": resized(test.input, times)}

    def protocol(self) -> str:
        """How the inputs were made."""
        times = self.recipe.data.scale
        return "" if times == 1 else f"inputs made {times} times smaller, bicubic with antialiasing, of 8 bits"

    def train_original(self, job: Job, training: GanTraining) -> NoReturn:
        """Raises RecipeError."""
        raise RecipeError(_TRAINED, "a training", _ELSEWHERE)

    def batches(self, data: Prepared, schedule: Schedule, hold: int = 1) -> dict[str, Callable[[int], Pair]]:
        """Raises RecipeError."""
        raise RecipeError(_TRAINED, "a training", _ELSEWHERE)

    def phases(self, training: GanTraining) -> tuple[list[Phase], Mapping[str, Stateful]]:
        """Raises RecipeError."""
        raise RecipeError(_TRAINED, "a training", _ELSEWHERE)

    def validation(self, job: Job) -> Pair:
        """Raises RecipeError."""
        raise RecipeError("candidates are measured on images that were held out", "single pictures", _ELSEWHERE)


def scale_of(generator: Mapping[str, Any], size: Size, channels: int = CHANNELS) -> int:
    """How many times a generator of images enlarges pictures of this size, and of these channels or those it says.

    Raises:
        RecipeError: it does not take such pictures, or its images are of another shape.
    """
    (height, width), channels = size, int(generator.get("inputs", channels))
    with torch.device("meta"):
        net, picture = build_generator(**generator).eval(), torch.empty(1, channels, height, width)
    try:
        with torch.no_grad():
            made = net(picture)
    except (Exception, SystemExit) as error:  # a network that is not ours fails in its own way
        raise RecipeError(f"the generator must take images of {size}, of {channels} channels", repr(error)) from error
    shape = tuple(made.shape) if isinstance(made, Tensor) else ()
    times = shape[2] // height if len(shape) == 4 else 0
    if times < 1 or shape != (1, channels, times * height, times * width):
        came = f"{shape or type(made).__name__} of {tuple(picture.shape)}"
        raise RecipeError("a generator must make images as large as what it is given, or so many times larger", came)
    return times


def resized(pictures: Tensor, factor: float) -> Tensor:
    """Pictures (N, C, H, W) in [-1, 1] so many times as large, bicubic with antialiasing, as 8 bits hold them."""
    made = functional.interpolate(pictures, scale_factor=factor, mode="bicubic", antialias=True)
    return ((made.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def smaller(pictures: Tensor, times: int) -> Tensor:
    """Pictures so many times smaller; themselves if once."""
    return pictures if times == 1 else resized(pictures, 1 / times)
