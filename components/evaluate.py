"""Stage `evaluate` as a Kubeflow component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    recipe: str,
    kept: str,
    prepared: dsl.Input[dsl.Dataset],
    taught: dsl.Input[dsl.Model],
    searched: dsl.Input[dsl.Artifact],
    finetuned: dsl.Input[dsl.Model],
    out: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Measure the original, the found generator and its rivals.

    Args:
        recipe: the recipe as YAML text.
        kept: a folder that outlives the pod, so that a restarted stage resumes; may be empty.
        prepared: the output folder of `prepare`.
        taught: the output folder of `teach`.
        searched: the output folder of `search`.
        finetuned: the output folder of `finetune`.
        out: the measurements, the picture grid and the report.
        metrics: the stage's metrics, for Kubeflow's table of runs.
        report: the self-contained HTML report.
    """
    from os import environ
    from pathlib import Path
    from shutil import copyfile, copytree

    from slimgen import stages
    from slimgen.recipe import Recipe

    parsed = Recipe.parse(recipe)
    work = Path(kept, parsed.name, "evaluate") if kept else Path(out.path)
    group = f"{environ.get('KFP_RUN_ID', 'kfp')}/{parsed.name}"
    found = stages.evaluate(
        parsed,
        prepare=Path(prepared.path),
        teach=Path(taught.path),
        search=Path(searched.path),
        finetune=Path(finetuned.path),
        out=work,
        name=parsed.name,
        group=group,
    )
    if kept:
        copytree(work, out.path, dirs_exist_ok=True)
    copyfile(work / "report.html", report.path)
    for name, value in found.items():
        metrics.log_metric(name, value)
