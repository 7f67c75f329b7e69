"""Stage `prepare` as a Kubeflow component."""

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
    """Decode the images once, and record which were rejected and why.

    Args:
        recipe: the recipe as YAML text.
        kept: a folder that outlives the pod, so that a restarted stage resumes; may be empty.
        images: the data set, in one of the conventional layouts.
        out: arrays, reference statistics and the manifest.
        metrics: the stage's metrics, for Kubeflow's table of runs.
    """
    from os import environ
    from pathlib import Path
    from shutil import copytree

    from slimgen import stages
    from slimgen.recipe import Recipe

    parsed = Recipe.parse(recipe)
    work = Path(kept, parsed.name, "prepare") if kept else Path(out.path)
    group = f"{environ.get('KFP_RUN_ID', 'kfp')}/{parsed.name}"
    found = stages.prepare(parsed, data=Path(images.path), out=work, name=parsed.name, group=group)
    if kept:
        copytree(work, out.path, dirs_exist_ok=True)
    for name, value in found.items():
        metrics.log_metric(name, value)
