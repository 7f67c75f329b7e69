"""Task `labels`: label maps to photographs, GauGAN (Park et al. 2019) as in GAN Compression.

Prepared label maps are ids. Networks take one channel for each class, 1 where a pixel is of the class and 0 elsewhere,
then a channel of instance edges. These channels are made here, on the device, and never stored.
"""

import colorsys
from pathlib import Path

import torch
from torch import Tensor, nn

from slimgen.data.batches import Pair
from slimgen.data.conversion import Progress
from slimgen.data.label_maps import Classes
from slimgen.data.look import Look, Looked, look_at_labels
from slimgen.data.prepare_translation import prepare_labels
from slimgen.data.prepared import Manifest
from slimgen.device import Compute
from slimgen.errors import RecipeError
from slimgen.nets.patchgan.discriminators import MultiScale, PatchGAN
from slimgen.nets.supernet import Arch
from slimgen.recipe import Channels, Recipe
from slimgen.tasks.channels import following
from slimgen.tasks.guidance import Discriminate, Guidance
from slimgen.tasks.paired import Paired
from slimgen.tasks.task import setting_of
from slimgen.tasks.traits import LABEL_MAPS, OF_NOISE, Embedded, Traits
from slimgen.tasks.translation import CHANNELS
from slimgen.training.fit import Memo
from slimgen.training.losses import feature_matching

READS = "float32, 1 where a pixel is of the channel's class and 0 elsewhere; instances' edges in the last channel"
_GOLDEN = 0.6180339887


class Labels(Paired):
    """Task of label maps with their photographs, which the discriminator sees together.

    The loss has, with their weights, feature matching in the discriminator (`losses.feature`), a perceptual term in a
    separate network (`losses.perceptual`; GauGAN uses VGG), and the L1 distance (`losses.recon`, 0 in GauGAN).
    """

    traits = Traits(LABEL_MAPS, pairs=True, embedded=Embedded("labels", tracked=False), refused=OF_NOISE, reads=READS)

    def __init__(self, recipe: Recipe, compute: Compute) -> None:
        self.classes = classes_of(recipe).channels
        self.channels = self.classes + recipe.data.instances
        self.discriminator_inputs = self.channels + recipe.channels.wanted
        super().__init__(recipe, compute)

    @classmethod
    def check(cls, recipe: Recipe) -> None:
        """Raise RecipeError unless the input channels of the networks are those of the label maps."""
        wanted = classes_of(recipe).channels + recipe.data.instances
        generator = int(recipe.teach.generator.get("inputs", CHANNELS))
        judged = wanted + recipe.channels.wanted
        discriminator = int(recipe.teach.discriminator.get("inputs", judged))
        if generator != wanted or discriminator != judged:
            rule = (
                f"teach.generator.inputs must be {wanted}, the channels of the label maps (classes, unknown, "
                f"instances), and teach.discriminator.inputs {judged}, with those of the photograph"
            )
            came = f"{generator} and {discriminator}"
            raise RecipeError(rule, came, f"set teach.generator.inputs to {wanted}, and leave the other out")
        if recipe.losses.perceptual and recipe.losses.perceptual_network == "discriminator":
            hint = "set losses.perceptual_network to vgg16, and losses.feature for the discriminator's features"
            rule = "losses.perceptual needs a separate feature network in the task labels"
            raise RecipeError(rule, "losses.perceptual_network discriminator", hint)

    @classmethod
    def suited(cls, recipe: Recipe, channels: Channels) -> Recipe:
        """Return the recipe as `Task.suited` does; the recipe's classes give the channels of label maps."""
        maps = classes_of(recipe).channels + recipe.data.instances
        channels = Channels(maps, channels.wanted)
        return following(recipe, channels, given=False, judged=(sum(channels),))

    @classmethod
    def prepare(cls, recipe: Recipe, folder: Path, out: Path | None, progress: Progress) -> Manifest:
        """Write label maps and photographs as arrays."""
        classes, instances = classes_of(recipe), recipe.data.instances
        return prepare_labels(folder, out, setting_of(recipe), progress, classes=classes, instances=instances)

    @classmethod
    def look(cls, folder: Path, look: Look) -> Looked:
        """Report the layout and the classes of label maps, and those that cannot be used."""
        return look_at_labels(folder, look)

    def condition(self, inputs: Tensor) -> Tensor:
        """Return the networks' input for prepared label maps: (N, channels, H, W) of 0 and 1.

        Prepared label maps are ids (N, 1, H, W), or (N, 2, H, W) with edges, mapped from 0 .. 255 to [-1, 1] like any
        image.
        """
        ids = ((inputs[:, :1] + 1) * 127.5).round().long()
        count, _, height, width = inputs.shape
        seen = self.compute.place(inputs.new_zeros(count, self.channels, height, width))
        seen[:, : self.classes].scatter_(1, ids, 1.0)
        if self.channels > self.classes:
            seen[:, self.classes :] = (inputs[:, 1:] > 0).to(seen.dtype)
        return seen

    def picture(self, inputs: Tensor) -> Tensor:
        """Return prepared label maps as pictures (N, 3, H, W) in [-1, 1]: a colour for each class, edges in black."""
        given = self.recipe.data.palette or tuple(map(_colour, range(self.classes)))
        colours = [*given, *([(0, 0, 0)] * (self.classes - len(given)))]
        palette = torch.tensor(colours, dtype=torch.float32, device=inputs.device) * (2 / 255) - 1
        ids = ((inputs[:, 0] + 1) * 127.5).round().long()
        picture = palette[ids].permute(0, 3, 1, 2).contiguous()
        return picture if inputs.shape[1] == 1 else picture.masked_fill(inputs[:, 1:] > 0, -1.0)

    def adversary(self, discriminator: nn.Module) -> tuple[Discriminate, Guidance]:
        """Return the function for the scores, and feature matching if the recipe gives it a weight."""
        weight = self.recipe.losses.feature
        if not weight:
            return super().adversary(discriminator)
        assert isinstance(discriminator, MultiScale | PatchGAN)
        matching = Matching(self, discriminator, weight)
        return matching.discriminate, Guidance((matching.term,))


def classes_of(recipe: Recipe) -> Classes:
    """Return the classes of the recipe's label maps.

    Raises:
        RecipeError: the recipe does not set their number.
    """
    data = recipe.data
    if data.classes is None:
        raise RecipeError("the task labels needs data.classes, the number of classes", "none", "set it in the recipe")
    return Classes(data.classes, data.unknown, data.palette)


class Matching:
    """Feature matching that reuses the discriminator's activations from the adversarial loss.

    Generated images therefore pass through the discriminator once per step for both losses of the generator. `weight`
    is the weight of the feature term.
    """

    def __init__(self, task: Labels, discriminator: MultiScale | PatchGAN, weight: float) -> None:
        self.task, self.discriminator, self.weight = task, discriminator, weight
        self._seen: list[list[Tensor]] | None = None

    def discriminate(self, shown: Tensor, arch: Arch) -> Tensor:
        """Return the discriminator's scores."""
        found = self._features(shown)
        if shown.requires_grad:  # only in the generator's step: in its own step, the discriminator gets detached images
            self._seen = found
        net = self.discriminator
        return net.scores(found) if isinstance(net, MultiScale) else net.scores(found[0])

    def term(self, batch: Pair, fake: Tensor, memo: Memo) -> dict[str, Tensor]:
        """Return the weighted feature distance between generated and real images of the same label maps."""
        found, self._seen = self._seen, None
        if found is None:  # without an adversarial loss, no scores were computed
            found = self._features(self.task.shown(batch.input, fake))
        with torch.no_grad():
            wanted = self._features(self.task.shown(batch.input, batch.target))
        return {"feature": self.weight * feature_matching(found, wanted)}

    def _features(self, shown: Tensor) -> list[list[Tensor]]:
        """Return the features by scale."""
        net = self.discriminator
        return net.features(shown) if isinstance(net, MultiScale) else [net.features(shown)]


def _colour(number: int) -> tuple[int, int, int]:
    """Return a colour far from those of smaller numbers: hues by the golden ratio, alternately light and dark."""
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.65, 0.95 if number % 2 else 0.6)
    return round(255 * red), round(255 * green), round(255 * blue)
