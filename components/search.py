"""Stage `search` as a Kubeflow component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def search(
    recipe: str,
    kept: str,
    prepared: dsl.Input[dsl.Dataset],
    taught: dsl.Input[dsl.Model],
    supernet: dsl.Input[dsl.Model],
    out: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Search an architecture within the budget.

    Args:
        recipe: the recipe as YAML text.
        kept: a folder that outlives the pod, so that a restarted stage resumes; may be empty.
        prepared: the output folder of `prepare`.
        taught: the output folder of `teach`.
        supernet: the output folder of `supernet`.
        out: the genotype, every trial and the Pareto front.
        metrics: the stage's metrics, for Kubeflow's table of runs.
    """
    from os import environ
    from pathlib import Path
    from shutil import copytree

    from slimgen import stages
    from slimgen.recipe import Recipe

    parsed = Recipe.parse(recipe)
    work = Path(kept, parsed.name, "search") if kept else Path(out.path)
    group = f"{environ.get('KFP_RUN_ID', 'kfp')}/{parsed.name}"
    found = stages.search(
        parsed,
        prepare=Path(prepared.path),
        teach=Path(taught.path),
        supernet=Path(supernet.path),
        out=work,
        name=parsed.name,
        group=group,
    )
    if kept:
        copytree(work, out.path, dirs_exist_ok=True)
    for name, value in found.items():
        metrics.log_metric(name, value)
