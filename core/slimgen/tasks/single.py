"""Task `single`: single pictures as inputs of a generator that is already trained, to look at, measure or prune it.

For a generator that enlarges by `data.scale`, the inputs are the pictures made smaller (bicubic, antialiased), and the
outputs are compared with the pictures, beside bicubic enlargement. For a generator whose outputs are as large as its
inputs there are no known targets, so nothing is measured.

With `data.validation`, the pictures are divided into training, validation and test pictures, so that a method can prune
the generator; its own outputs are the targets. Those of a generator that does not enlarge are then compared with the
original's.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor
from torch.nn import functional

from slimgen.data.batches import Pair, whole
from slimgen.data.conversion import Progress
from slimgen.data.look import Look, Looked, look_at_images
from slimgen.data.prepare_images import prepare_images, prepare_single
from slimgen.data.prepared import Manifest, Prepared
from slimgen.errors import RecipeError, SlimgenError
from slimgen.files import GENERATOR
from slimgen.nets import build_generator
from slimgen.nets.weights import save_weights
from slimgen.recipe import Channels, Recipe
from slimgen.size import Size
from slimgen.tasks.channels import following
from slimgen.tasks.guidance import GanTraining, Truth
from slimgen.tasks.importing import import_part
from slimgen.tasks.task import Job, setting_of
from slimgen.tasks.traits import IMAGES, OF_LABEL_MAPS, OF_NOISE, OF_SCALES, Embedded, Shapes, Traits
from slimgen.tasks.translation import CHANNELS, Translation
from slimgen.training.distillation import Teacher

_TRAINED = "the task single does not train: its generator must be imported"
_ELSEWHERE = "choose a task that trains, such as paired or unpaired"


class Single(Translation):
    """Task of an imported generator and single pictures, on which no original is trained."""

    traits: ClassVar[Traits] = Traits(
        IMAGES,
        pairs=False,
        single=True,
        enlarges=True,
        embedded=Embedded("images", times=0.05, tracked=False),
        refused={
            **OF_LABEL_MAPS,
            **OF_NOISE,
            "data": ("direction", "load", "partners", "turn", *OF_LABEL_MAPS["data"]),
            "evaluate": (*OF_NOISE["evaluate"], *OF_SCALES["evaluate"]),
        },
    )
    discriminator_inputs = CHANNELS

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raise RecipeError unless the generator is imported, enlarges by `data.scale`, and metrics have targets."""
        if recipe.teach.generator_checkpoint is None:
            raise RecipeError(_TRAINED, "no teach.generator_checkpoint", _ELSEWHERE)
        found = scale_of(recipe.teach.generator, recipe.size)
        if found != recipe.data.scale:
            rule = "data.scale must be the factor by which the generator enlarges images"
            raise RecipeError(rule, f"{recipe.data.scale} for a factor of {found}", f"set it to {found}")
        if not divided(recipe) and (given := {"test", "flip"} & recipe.data.model_fields_set):
            rule = "single pictures are only divided and flipped for a method that trains"
            hint = "leave it out, or set data.validation"
            raise RecipeError(rule, ", ".join(f"data.{key}" for key in sorted(given)), hint)
        if found == 1 and recipe.evaluate.metrics and not divided(recipe):
            rule = "single pictures have no targets to measure a generator with that does not enlarge"
            hint = "set evaluate.metrics to [], or choose the task paired or unpaired"
            raise RecipeError(rule, f"evaluate.metrics {', '.join(recipe.evaluate.metrics)}", hint)

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """Return the recipe as `Task.suited` does, with the pictures' channels as inputs and outputs."""
        wanted = channels.wanted
        followed = following(recipe, Channels(wanted, wanted), given=True, judged=(wanted,))
        scale_of(followed.teach.generator, recipe.size, wanted)
        return followed

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Write images as arrays in the size of the generator's outputs, all of them test images or divided."""
        made = made_size(recipe)
        write = prepare_images if divided(recipe) else prepare_single
        return write(folder, out, replace(setting_of(recipe), size=made, load=made), progress)

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """Report the layout of the images, and those that cannot be used."""
        return look_at_images(folder, look)

    def shapes(self, data: Prepared) -> Shapes:
        """Return the shapes of a picture made smaller, and of the picture itself."""
        height, width, channels = data.split("test").target.shape[1:]
        times = self.recipe.data.scale
        return Shapes((channels, height // times, width // times), (channels, height, width))

    def teach(self, job: Job) -> Mapping[str, float]:
        """Import the generator and write `generator.safetensors`.

        Raises:
            CheckpointError: the file is missing, or its weights do not fit.
        """
        generator = self.generator()
        import_part(job, generator)
        save_weights(job.out / GENERATOR, generator.state_dict())
        return {"updates": 0.0, "params": self.original_cost().params}

    def test(self, data: Prepared) -> Pair:
        """Return the generator's inputs and the pictures that they were made from, whole and in order."""
        pictures = whole(data.split("test"), self.recipe.evaluate.images).target
        return Pair(smaller(pictures, self.recipe.data.scale), pictures)

    def columns(self, test: Pair, count: int, paired: bool) -> dict[str, Tensor]:
        """Return the first inputs and, for a generator that enlarges, the pictures themselves."""
        found = {"input": test.input[:count]}
        return found if self.recipe.data.scale == 1 else {**found, "target": test.target[:count]}

    def references(self, test: Pair) -> dict[str, Tensor]:
        """Return the inputs enlarged by bicubic interpolation, if the generator enlarges."""
        times = self.recipe.data.scale
        return {} if times == 1 else {"bicubic": resized(test.input, times)}

    def protocol(self) -> str:
        """Return how the inputs were made, or what outputs are compared with."""
        times = self.recipe.data.scale
        if times == 1:
            return "targets are the original's outputs" if divided(self.recipe) else ""
        return f"inputs made {times} times smaller, bicubic with antialiasing, of 8 bits"

    def targets(self, images: Pair, teach: Path, paired: bool) -> Pair:
        """Return test images with the original's outputs as targets, for a generator that does not enlarge."""
        if self.recipe.data.scale > 1 or not divided(self.recipe):
            return images
        return self.answered(images, self.compute.ready(self.original(teach)))

    def train_original(self, job: Job, training: GanTraining) -> NoReturn:
        """Raise RecipeError."""
        raise RecipeError(_TRAINED, "a training", _ELSEWHERE)

    def given(self, inputs: Tensor, targets: Tensor) -> Pair:
        """Return a batch on its device, whose inputs are made from the pictures."""
        pictures = self.compute.place(targets)
        return Pair(smaller(pictures, self.recipe.data.scale), pictures)

    @property
    def crop(self) -> Size:
        """The size of the pictures, which are used whole."""
        return made_size(self.recipe)

    def validation(self, job: Job) -> Pair:
        """Return the inputs of the validation pictures, and the pictures themselves.

        Raises:
            RecipeError: the recipe does not divide the pictures.
        """
        if not divided(self.recipe):
            rule = "candidates must be measured on validation images"
            raise RecipeError(rule, "single pictures, all of them for testing", "set data.validation")
        pictures = whole(job.data.split("val"), self.recipe.objective.images).target
        return Pair(smaller(pictures, self.recipe.data.scale), pictures)

    def truth(self, teach: Path) -> Truth:
        """Return a function from a batch to the original's outputs."""
        teacher = Teacher(self.compute.ready(self.original(teach)))
        return lambda batch: teacher(batch.input)[0].float()


def divided(recipe: Recipe) -> bool:
    """Return whether the pictures are divided into training, validation and test pictures, as a method needs them."""
    return "validation" in recipe.data.model_fields_set


def made_size(recipe: Recipe) -> Size:
    """Return the size of the generator's outputs."""
    return Size(*(recipe.data.scale * side for side in recipe.size))


def scale_of(generator: Mapping[str, Any], size: Size, channels: int = CHANNELS) -> int:
    """Return the factor by which a generator enlarges pictures of this size.

    Args:
        generator: family and options.
        size: size of the input pictures.
        channels: their channels, unless the generator's option `inputs` sets them.

    Raises:
        RecipeError: it does not take these pictures, or its outputs are no whole multiple of them.
    """
    (height, width), channels = size, int(generator.get("inputs", channels))
    with torch.device("meta"):
        net, picture = build_generator(**generator).eval(), torch.empty(1, channels, height, width)
    try:
        with torch.no_grad():
            made = net(picture)
    except SlimgenError as error:  # of a family, which knows the sizes that it takes
        raise RecipeError(error.rule, error.got, error.hint) from None
    except (Exception, SystemExit) as error:  # a user-defined network may raise anything
        rule = f"the generator must take images of {size} with {channels} channels"
        raise RecipeError(rule, repr(error)) from error
    shape = tuple(made.shape) if isinstance(made, Tensor) else ()
    times = shape[2] // height if len(shape) == 4 else 0
    if times < 1 or shape != (1, channels, times * height, times * width):
        came = f"{shape or type(made).__name__} for an input of shape {tuple(picture.shape)}"
        raise RecipeError("the generator's outputs must be as large as its inputs, or a whole multiple of them", came)
    return times


def resized(pictures: Tensor, factor: float) -> Tensor:
    """Resize pictures (N, C, H, W) in [-1, 1] by a factor: bicubic, antialiased, rounded to 8 bits."""
    made = functional.interpolate(pictures, scale_factor=factor, mode="bicubic", antialias=True)
    return ((made.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def smaller(pictures: Tensor, times: int) -> Tensor:
    """Return pictures made smaller by a factor, unchanged for 1."""
    return pictures if times == 1 else resized(pictures, 1 / times)
