"""The stage that prepares: images are decoded once, into arrays."""

from collections.abc import Callable, Mapping
from functools import partial

from slimgen.data.label_maps import Classes
from slimgen.data.prepare_images import prepare_images
from slimgen.data.prepare_labels import prepare_labels
from slimgen.data.prepare_pairs import prepare_pairs
from slimgen.data.prepare_sets import prepare_unpaired
from slimgen.data.prepared import Manifest
from slimgen.files import MANIFEST
from slimgen.recipe import Recipe
from slimgen.stages.work import Work

PREPARING: dict[str, Callable[[Recipe], Callable[..., Manifest]]] = {
    "paired": lambda recipe: prepare_pairs,
    "unpaired": lambda recipe: partial(prepare_unpaired, partners=recipe.data.partners),
    "labels": lambda recipe: partial(prepare_labels, classes=classes_of(recipe), instances=recipe.data.instances),
    "unconditional": lambda recipe: prepare_images,
}
"""How the images of a task are prepared."""


def classes_of(recipe: Recipe) -> Classes:
    """What the numbers of the recipe's label maps mean."""
    data = recipe.data
    assert data.classes is not None
    return Classes(data.classes, data.unknown, data.palette)


def prepare(work: Work) -> Mapping[str, float]:
    """Decodes the images into arrays; writes what was rejected, and why, into `manifest.json`.

    Raises:
        DataError: no images, or no known layout.
    """
    recipe = work.recipe
    manifest = PREPARING[recipe.task](recipe)(
        work.inputs["data"],
        work.out,
        size=recipe.size,
        load=recipe.data.load or recipe.size,
        direction=recipe.data.direction,
        validation=recipe.data.validation,
        seed=recipe.seed,
        progress=lambda done, total: work.progress("images", done, total, {}),
    )
    work.tracker.artifact(work.out / MANIFEST)
    counts = {f"{name}_images": float(split.count) for name, split in manifest.splits.items()}
    for name, split in manifest.splits.items():
        if split.target_names is not None:  # of two sets, whose other one may be of another length
            counts[f"{name}_targets"] = float(len(split.target_names))
    return {**counts, "rejected": float(len(manifest.rejected)), "lonely": float(len(manifest.lonely))}
