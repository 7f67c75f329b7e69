"""The stages that learn: prepare, teach, supernet, finetune."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from slimgen.data.label_maps import Classes
from slimgen.data.prepare_images import prepare_images
from slimgen.data.prepare_labels import prepare_labels
from slimgen.data.prepare_pairs import prepare_pairs
from slimgen.data.prepare_sets import prepare_unpaired
from slimgen.data.prepared import Manifest
from slimgen.methods import open_method
from slimgen.nets.weights import save_weights
from slimgen.recipe import Recipe
from slimgen.stages.comparing import require_suitable
from slimgen.stages.frame import Metrics, Stage, Tell, perform
from slimgen.tasks import check_task
from slimgen.tasks.job import Job
from slimgen.tasks.unconditional import require_sets

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


def prepare(recipe: Recipe, *, data: Path, out: Path, group: str | None = None, tell: Tell | None = None) -> Metrics:
    """Decodes the images once, into arrays; writes what was rejected, and why, into `manifest.json`.

    Raises:
        DataError: no images, or no known layout.
        RecipeError: an unknown task, or metrics that it cannot have.
    """
    check_task(recipe.task)
    require_sets(recipe)

    def body(stage: Stage) -> Mapping[str, float]:
        manifest = PREPARING[recipe.task](recipe)(
            data,
            stage.out,
            size=recipe.size,
            load=recipe.data.load or recipe.size,
            direction=recipe.data.direction,
            validation=recipe.data.validation,
            seed=recipe.seed,
            progress=lambda done, total: stage.tell("images", done, total, {}),
        )
        stage.tracker.artifact(stage.out / "manifest.json")
        counts = {f"{name}_images": float(split.count) for name, split in manifest.splits.items()}
        for name, split in manifest.splits.items():
            if split.target_names is not None:  # of two sets, whose other one may be of another length
                counts[f"{name}_targets"] = float(len(split.target_names))
        return {**counts, "rejected": float(len(manifest.rejected)), "lonely": float(len(manifest.lonely))}

    return perform("prepare", recipe, {}, out, body, group=group, tell=tell, source=Path(data))


def teach(recipe: Recipe, *, prepare: Path, out: Path, group: str | None = None, tell: Tell | None = None) -> Metrics:
    """The original GAN: trained, or imported from the checkpoints that the recipe names."""

    def body(stage: Stage) -> Mapping[str, float]:
        job = _learning(stage)
        return job.task.teach(job)

    return perform("teach", recipe, {"prepare": prepare}, out, body, group=group, tell=tell)


def supernet(
    recipe: Recipe, *, prepare: Path, teach: Path, out: Path, group: str | None = None, tell: Tell | None = None
) -> Metrics:
    """The weight-sharing network, trained the method's way."""

    def body(stage: Stage) -> Mapping[str, float]:
        return open_method(recipe.method).supernet(_learning(stage))

    inputs = {"prepare": prepare, "teach": teach}
    return perform("supernet", recipe, inputs, out, body, group=group, tell=tell)


def finetune(
    recipe: Recipe,
    *,
    prepare: Path,
    teach: Path,
    supernet: Path,
    search: Path,
    out: Path,
    group: str | None = None,
    tell: Tell | None = None,
) -> Metrics:
    """The found generator, and the uniform one where the recipe asks: weights, and `networks.json` to build them."""

    def body(stage: Stage) -> Mapping[str, float]:
        trained = open_method(recipe.method).finetune(_learning(stage))
        described = {}
        for name, result in trained.items():
            save_weights(stage.out / f"{name}.safetensors", result.net.state_dict())
            described[name] = {"family": result.family, "options": dict(result.options), "updates": result.updates}
        (stage.out / "networks.json").write_text(json.dumps(described, indent=1) + "\n")
        told = {name: {"updates": result.updates, **result.facts} for name, result in trained.items()}
        return {f"{name}_{fact}": value for name, facts in told.items() for fact, value in facts.items()}

    inputs = {"prepare": prepare, "teach": teach, "supernet": supernet, "search": search}
    return perform("finetune", recipe, inputs, out, body, group=group, tell=tell)


def _learning(stage: Stage) -> Job:
    """The work of a stage that trains; what cannot be evaluated in the end is told before."""
    job = stage.job()
    require_suitable(stage.recipe, job.data)
    return job
