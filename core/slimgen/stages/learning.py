"""The stages that learn: prepare, teach, supernet, finetune."""

import json
from collections.abc import Mapping
from pathlib import Path

from slimgen.data.prepare import prepare_pairs
from slimgen.methods import open_method
from slimgen.nets.weights import save_weights
from slimgen.recipe import Recipe
from slimgen.stages.frame import Metrics, Stage, Tell, perform


def prepare(recipe: Recipe, *, data: Path, out: Path, group: str | None = None, tell: Tell | None = None) -> Metrics:
    """Decodes the images once, into arrays; writes what was rejected, and why, into `manifest.json`.

    Raises:
        DataError: no images, or no known layout.
    """

    def body(stage: Stage) -> Mapping[str, float]:
        manifest = prepare_pairs(
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
        return {**counts, "rejected": float(len(manifest.rejected)), "lonely": float(len(manifest.lonely))}

    return perform("prepare", recipe, {}, out, body, group=group, tell=tell, source=Path(data))


def teach(recipe: Recipe, *, prepare: Path, out: Path, group: str | None = None, tell: Tell | None = None) -> Metrics:
    """The original GAN: trained, or imported from the checkpoints that the recipe names."""

    def body(stage: Stage) -> Mapping[str, float]:
        job = stage.job()
        return job.task.teach(job)

    return perform("teach", recipe, {"prepare": prepare}, out, body, group=group, tell=tell)


def supernet(
    recipe: Recipe, *, prepare: Path, teach: Path, out: Path, group: str | None = None, tell: Tell | None = None
) -> Metrics:
    """The weight-sharing network, trained the method's way."""

    def body(stage: Stage) -> Mapping[str, float]:
        return open_method(recipe.method).supernet(stage.job())

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
        trained = open_method(recipe.method).finetune(stage.job())
        described = {}
        for name, result in trained.items():
            save_weights(stage.out / f"{name}.safetensors", result.net.state_dict())
            described[name] = {"family": result.family, "options": dict(result.options), "updates": result.updates}
        (stage.out / "networks.json").write_text(json.dumps(described, indent=1) + "\n")
        return {f"{name}_updates": result.updates for name, result in trained.items()}

    inputs = {"prepare": prepare, "teach": teach, "supernet": supernet, "search": search}
    return perform("finetune", recipe, inputs, out, body, group=group, tell=tell)
