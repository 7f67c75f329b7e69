"""The stage `finetune` as a Kubeflow component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def finetune(
    recipe: str,
    kept: str,
    prepared: dsl.Input[dsl.Dataset],
    taught: dsl.Input[dsl.Model],
    supernet: dsl.Input[dsl.Model],
    searched: dsl.Input[dsl.Artifact],
    out: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Trains the generator that was found, and its rivals where the recipe names any.

    Args:
        recipe: the recipe as YAML text.
        kept: a folder that outlives the pod, so that a stage started again goes on where it was; may be empty.
        prepared: what `prepare` wrote.
        taught: what `teach` wrote.
        supernet: what `supernet` wrote.
        searched: what `search` wrote.
        out: the found generator's weights and training log.
        metrics: the stage's metrics, for the table of runs.
    """
    from os import environ
    from pathlib import Path
    from shutil import copytree

    from slimgen import stages
    from slimgen.recipe import Recipe

    parsed = Recipe.parse(recipe)
    work = Path(kept, parsed.name, "finetune") if kept else Path(out.path)
    group = f"{environ.get('KFP_RUN_ID', 'kfp')}/{parsed.name}"
    found = stages.finetune(
        parsed,
        prepare=Path(prepared.path),
        teach=Path(taught.path),
        supernet=Path(supernet.path),
        search=Path(searched.path),
        out=work,
        group=group,
    )
    if kept:
        copytree(work, out.path, dirs_exist_ok=True)
    for name, value in found.items():
        metrics.log_metric(name, value)
