"""Channels of a data set's pictures: networks are built for them, and a recipe that sets channels must agree."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slimgen.errors import RecipeError
from slimgen.files import MANIFEST, read_json
from slimgen.metrics.kinds import SEEN, channels_of
from slimgen.metrics.registry import find
from slimgen.nets import default_of
from slimgen.recipe import Channels, Recipe
from slimgen.recipe.trainings import LossesSection

RGB = 3


def prepared_channels(folder: Path) -> Channels | None:
    """Return the channels of prepared inputs and targets from the manifest; None without a readable manifest."""
    manifest = read_json(folder / MANIFEST)
    splits = manifest.get("splits") if isinstance(manifest, dict) else None
    train = splits.get("train", splits.get("test")) if isinstance(splits, dict) else None
    if not isinstance(train, dict):
        return None
    found = [train.get(key, RGB) for key in ("channels", "target_channels")]
    return Channels(*found) if all(isinstance(one, int) for one in found) else None


def following(recipe: Recipe, channels: Channels, *, given: bool, judged: Sequence[int]) -> Recipe:
    """Return the recipe with networks for pictures of these channels.

    Sets the generator's `outputs`, and its `inputs` where it is `given` pictures. The discriminator's inputs are one of
    `judged`, the first unless the recipe sets them. A recipe for RGB pictures stays as it is.

    Raises:
        RecipeError: the recipe sets other channels, or a metric or loss takes only RGB pictures.
    """
    generator = dict(recipe.teach.generator)
    wanted = {"inputs": channels.given} if given else {}
    for option, count in {**wanted, "outputs": channels.wanted}.items():
        generator |= _followed(generator, option, count)
    discriminator = dict(recipe.teach.discriminator)
    says = discriminator.get("inputs")
    if says is not None and says not in judged:
        rule = f"teach.discriminator.inputs must be {' or '.join(map(str, judged))} for the prepared pictures"
        raise RecipeError(rule, says, "leave it out")
    rgb = set(wanted.values()) | {channels.wanted} == {RGB}
    if says is None and not rgb:
        discriminator["inputs"] = judged[0]
    teach = recipe.teach.model_copy(update={"generator": generator, "discriminator": discriminator})
    changed = (generator, discriminator) != (recipe.teach.generator, recipe.teach.discriminator)
    followed = (recipe.model_copy(update={"teach": teach}) if changed else recipe).seeing(channels)
    _check_networks(followed)
    return followed


def _followed(generator: Mapping[str, Any], option: str, count: int) -> dict[str, int]:
    """Return the option with the value that it needs, empty if its default fits; RecipeError if it is set otherwise."""
    what = "input" if option == "inputs" else "target"
    if option in generator:
        if generator[option] != count:
            rule = f"teach.generator.{option} must be {count}, the channels of the prepared {what} pictures"
            raise RecipeError(rule, generator[option], "leave it out")
        return {}
    default = default_of(**generator, option=option)
    return {} if default in (None, count) else {option: count}


def _check_networks(recipe: Recipe) -> None:
    """Raise RecipeError where a metric or a loss does not take pictures with these channels."""
    count = recipe.channels.wanted
    taught = [] if recipe.teach.metric is None else [recipe.teach.metric]
    for metric in (*taught, recipe.objective.metric, *recipe.evaluate.metrics):
        allowed = channels_of(find(metric))
        if allowed is not None and count not in allowed:
            rule = f"the metric {metric} needs pictures of {' or '.join(map(str, sorted(allowed)))} channels"
            raise RecipeError(rule, _spoken(count), "choose psnr or ssim, or a user-defined metric")
    for losses in filter(None, (recipe.losses, recipe.teach.losses)):
        check_perceptual(losses, count)


def check_perceptual(losses: LossesSection, count: int) -> None:
    """Raise RecipeError where the network of a perceptual loss does not take pictures of this number of channels."""
    if losses.perceptual and losses.perceptual_network != "discriminator" and count not in SEEN:
        rule = f"the perceptual network {losses.perceptual_network} needs RGB or grey pictures"
        raise RecipeError(rule, _spoken(count), "set losses.perceptual_network to discriminator")


def _spoken(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
