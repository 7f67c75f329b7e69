"""The stage `prepare` as a Kubeflow component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare(
    recipe: str,
    kept: str,
    images: dsl.Input[dsl.Dataset],
    out: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Decodes the images once and says what was rejected, and why.

    Args:
        recipe: the recipe as YAML text.
        kept: a folder that outlives the pod, so that a stage started again goes on where it was; may be empty.
        images: the data set, in one of the conventional layouts.
        out: arrays, reference statistics and the manifest.
        metrics: the stage's metrics, for the table of runs.
    """
    from os import environ
    from pathlib import Path
    from shutil import copytree

    from slimgen import stages
    from slimgen.recipe import Recipe

    parsed = Recipe.parse(recipe)
    work = Path(kept, parsed.name, "prepare") if kept else Path(out.path)
    group = f"{environ.get('KFP_RUN_ID', 'kfp')}/{parsed.name}"
    found = stages.prepare(parsed, data=Path(images.path), out=work, group=group)
    if kept:
        copytree(work, out.path, dirs_exist_ok=True)
    for name, value in found.items():
        metrics.log_metric(name, value)
