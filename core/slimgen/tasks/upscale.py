"""Task `upscale`: single-image super-resolution by 2, 3 or 4 (SRGAN, Ledig et al. 2017; CF-GAN, section 4.2).

Pairs are a picture and the same picture made smaller, by MATLAB's bicubic interpolation unless the data set has both.
Training takes patches from whole pictures of any sizes; test images are enlarged whole.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.data.bicubic import imresize
from slimgen.data.conversion import Progress
from slimgen.data.look import Look, Looked, look_at_scaled
from slimgen.data.patches import Patches, whole_pictures
from slimgen.data.pictures import PicturePair, Pictures, middle
from slimgen.data.prepare_upscaling import prepare_upscaling
from slimgen.data.prepared import Manifest, Prepared, Split
from slimgen.errors import DataError, RecipeError
from slimgen.recipe import Channels, Recipe, Schedule
from slimgen.size import Size
from slimgen.tasks.channels import following
from slimgen.tasks.gan import teach_pair
from slimgen.tasks.paired import Paired
from slimgen.tasks.single import scale_of
from slimgen.tasks.task import Job, setting_of
from slimgen.tasks.tiles import in_tiles, mirrored
from slimgen.tasks.traits import IMAGES, OF_LABEL_MAPS, OF_NOISE, Embedded, Shapes, Traits
from slimgen.tasks.translation import CHANNELS
from slimgen.training.distributed import world

SCALES = (2, 3, 4)
SHOWN = 192
"""Most pixels of a side that the report shows of an enlarged picture."""


class Upscale(Paired):
    """Task of pictures and the same pictures made smaller; a discriminator sees only the large ones."""

    traits: ClassVar[Traits] = Traits(
        IMAGES,
        pairs=True,
        embedded=Embedded("upscaling", times=0.5, margin=2, tracked=False),
        enlarges=True,
        refused={
            **OF_LABEL_MAPS,
            **OF_NOISE,
            "data": ("direction", "load", "fit", "partners", *OF_LABEL_MAPS["data"]),
        },
    )
    discriminator_inputs = CHANNELS

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raise RecipeError unless the generator enlarges by `data.scale`, which is one of `SCALES`."""
        scale = recipe.data.scale
        if scale not in SCALES:
            came = "none" if "scale" not in recipe.data.model_fields_set else scale
            raise RecipeError(
                "data.scale must be 2, 3 or 4, the factor of the enlargement", came, "set it in the recipe"
            )
        inputs = recipe.teach.discriminator.get("inputs", CHANNELS)
        if inputs > max(CHANNELS, recipe.channels.wanted):
            rule = "teach.discriminator.inputs must be the channels of one picture, since it sees only enlarged ones"
            raise RecipeError(rule, inputs, "leave it out")
        found = scale_of(recipe.teach.generator, recipe.size, recipe.channels.given)
        if found != scale:
            rule = "data.scale must be the factor by which the generator enlarges images"
            raise RecipeError(
                rule, f"{scale} for a factor of {found}", "choose a generator that enlarges by data.scale"
            )

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """Return the recipe as `Task.suited` does; the discriminator sees the enlarged picture alone."""
        return following(recipe, channels, given=True, judged=(channels.wanted,))

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Write pictures and the same pictures made smaller as arrays; only test images if nothing is trained."""
        scale, trained = recipe.data.scale, trains(recipe)
        return prepare_upscaling(folder, out, setting_of(recipe), progress, scale=scale, trained=trained)

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """Report the layout of the pictures, and those that cannot be used."""
        return look_at_scaled(folder, look)

    def shapes(self, data: Prepared) -> Shapes:
        """Return the shapes of an input patch and of the enlarged one."""
        channels = self._split(data, "test").target.shape[-1]
        return Shapes((channels, *self.recipe.size), (channels, *self.recipe.made))

    def teach(self, job: Job) -> Mapping[str, float]:
        """Train or import the original generator and discriminator; see `teach_pair`."""
        images = len(job.data.split("train")) if "train" in job.data.manifest.splits else 0
        return teach_pair(job, images)

    def batches(self, data: Prepared, schedule: Schedule, hold: int = 1) -> dict[str, Callable[[int], Pair]]:
        """Return, for train and val, a function from step to this process's share of the patches.

        `hold` consecutive steps get the same batch. The patches of val are its pictures, in turn.
        """
        (rank, processes), recipe = world(), self.recipe
        options: dict[str, Any] = {
            "batch": schedule.batch,
            "seed": recipe.seed,
            "size": recipe.size,
            "flip": recipe.data.flip,
        }
        options |= {"turn": recipe.data.turn, "rank": rank, "world": processes}

        def of(name: str) -> Callable[[int], Pair]:
            source = Patches(self._split(data, name), **options)

            # The phases of a step share one batch, and so do the steps that hold it.
            @lru_cache(maxsize=1)
            def batch(number: int) -> Pair:
                return Pair(*map(self.compute.place, source(number)))

            return lambda step: batch(step // hold)

        return {name: of(name) for name in ("train", "val")}

    def test(self, data: Prepared) -> PicturePair:
        """Return the test images made smaller and as they are, whole and in order."""
        return whole_pictures(self._split(data, "test"), self.recipe.evaluate.images)

    def generate(self, net: nn.Module, inputs: Tensor) -> Tensor:
        """Return a generator's enlargement of pictures, in tiles where they are large; see `in_tiles`.

        One that first makes its input smaller, such as Real-ESRGAN's x2, is given sides that it takes; see `mirrored`.
        """
        options, scale = self.recipe.evaluate, self.recipe.data.scale
        shrinks = int(getattr(getattr(net, "options", None), "shrinks", 1))
        # Tiles begin where the squares of pixels do that become one.
        tile, overlap = (-(-side // shrinks) * shrinks for side in (options.tile, options.overlap))
        whole = mirrored(net, scale=scale, multiple=shrinks)
        return in_tiles(whole, inputs, scale=scale, tile=tile, overlap=overlap)

    def samples(self, test: PicturePair, count: int) -> Tensor:
        """Return the middle of the first inputs, of the recipe's size."""
        return torch.cat([middle(picture, self.recipe.size) for picture in test.input[:count]])

    def gathered(self, images: Sequence[Tensor]) -> Tensor:
        """Return the middle part of enlarged pictures, all of one size."""
        return _middles(images, self.recipe.data.scale, self.recipe.data.scale)

    def columns(self, test: PicturePair, count: int, paired: bool) -> dict[str, Tensor]:
        """Return the middle part of the first inputs, targets, and bicubic enlargements; inputs keep their pixels."""
        first, scale = test.chosen(slice(count)), self.recipe.data.scale
        shown = {"input": first.input, "target": first.target, "bicubic": self._bicubic(first)}
        return {name: _middles(list(each), scale, 1 if name == "input" else scale) for name, each in shown.items()}

    def references(self, test: PicturePair) -> dict[str, Pictures]:
        """Return the inputs enlarged by bicubic interpolation, as MATLAB does it."""
        return {"bicubic": self._bicubic(test)}

    def protocol(self) -> str:
        """Return how pictures were made smaller and enlarged."""
        scale, options = self.recipe.data.scale, self.recipe.evaluate
        tiles = f"in tiles of {options.tile} px with {options.overlap} px around them if they have more pixels"
        made = f"inputs {scale} times smaller, by MATLAB's bicubic interpolation where the data set has none"
        return f"{made}; enlarged whole, {tiles}"

    def _bicubic(self, test: PicturePair) -> Pictures:
        scale = self.recipe.data.scale
        return test.input.changed(partial(enlarged, scale=scale), scale)

    def _split(self, data: Prepared, name: str) -> Split:
        """Return a split; raise DataError if it was prepared for another task or scale."""
        split = data.split(name)
        if split.scale != self.recipe.data.scale:
            rule = (
                f"the images must be prepared for the task {self.recipe.task} with data.scale {self.recipe.data.scale}"
            )
            raise DataError(rule, f"images of scale {split.scale}", "prepare them with this recipe")
        return split


def trains(recipe: Recipe) -> bool:
    """Return whether a recipe needs training images: not if it takes a trained generator as it is."""
    adopted = recipe.teach.generator_checkpoint is not None and recipe.finetune.updates == 0
    return bool(not adopted or recipe.supernet or recipe.search)


def enlarged(pictures: Tensor, scale: int) -> Tensor:
    """Return pictures (N, C, H, W) in [-1, 1] enlarged by bicubic interpolation, as MATLAB does it for 8 bits."""
    levels = ((pictures.cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    made = torch.stack([torch.from_numpy(imresize(picture, scale)) for picture in levels])
    return made.permute(0, 3, 1, 2).float().mul(2 / 255).sub(1).to(pictures.device)


def _middles(pictures: Sequence[Tensor], scale: int, times: int) -> Tensor:
    """Return the same middle part of pictures that are `times` as large as the inputs, in steps of their pixels."""
    sizes = [Size(*(side // times for side in picture.shape[-2:])) for picture in pictures]
    part = Size(*(min(SHOWN // scale, *sides) for sides in zip(*sizes, strict=True)))
    found = []
    for picture, size in zip(pictures, sizes, strict=True):
        top, left = (times * ((side - inner) // 2) for side, inner in zip(size, part, strict=True))
        found.append(picture[..., top : top + times * part.height, left : left + times * part.width].cpu())
    return torch.cat(found)
