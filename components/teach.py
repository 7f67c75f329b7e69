"""Stage `teach` as a Kubeflow component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def teach(
    recipe: str,
    kept: str,
    prepared: dsl.Input[dsl.Dataset],
    out: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Train or import the original GAN.

    Args:
        recipe: the recipe as YAML text.
        kept: a folder that outlives the pod, so that a restarted stage resumes; may be empty.
        prepared: the output folder of `prepare`.
        out: the original's weights and training log.
        metrics: the stage's metrics, for Kubeflow's table of runs.
    """
    from os import environ
    from pathlib import Path
    from shutil import copytree

    from slimgen import stages
    from slimgen.recipe import Recipe

    parsed = Recipe.parse(recipe)
    work = Path(kept, parsed.name, "teach") if kept else Path(out.path)
    group = f"{environ.get('KFP_RUN_ID', 'kfp')}/{parsed.name}"
    found = stages.teach(parsed, prepare=Path(prepared.path), out=work, name=parsed.name, group=group)
    if kept:
        copytree(work, out.path, dirs_exist_ok=True)
    for name, value in found.items():
        metrics.log_metric(name, value)
