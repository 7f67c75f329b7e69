"""Stage `export` as a Kubeflow component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def export(
    recipe: str,
    kept: str,
    prepared: dsl.Input[dsl.Dataset],
    taught: dsl.Input[dsl.Model],
    finetuned: dsl.Input[dsl.Model],
    evaluated: dsl.Input[dsl.Artifact],
    out: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    card: dsl.Output[dsl.Markdown],
) -> None:
    """Write the ONNX model, its variants and its card, checked against the PyTorch network.

    Args:
        recipe: the recipe as YAML text.
        kept: a folder that outlives the pod, so that a restarted stage resumes; may be empty.
        prepared: the output folder of `prepare`.
        taught: the output folder of `teach`.
        finetuned: the output folder of `finetune`.
        evaluated: the output folder of `evaluate`.
        out: `generator.onnx`, its variants and its card.
        metrics: the stage's metrics, for Kubeflow's table of runs.
        card: the model's card.
    """
    from os import environ
    from pathlib import Path
    from shutil import copyfile, copytree

    from slimgen import stages
    from slimgen.recipe import Recipe

    parsed = Recipe.parse(recipe)
    work = Path(kept, parsed.name, "export") if kept else Path(out.path)
    group = f"{environ.get('KFP_RUN_ID', 'kfp')}/{parsed.name}"
    found = stages.export(
        parsed,
        prepare=Path(prepared.path),
        teach=Path(taught.path),
        finetune=Path(finetuned.path),
        evaluate=Path(evaluated.path),
        out=work,
        name=parsed.name,
        group=group,
    )
    if kept:
        copytree(work, out.path, dirs_exist_ok=True)
    copyfile(work / "card.md", card.path)
    for name, value in found.items():
        metrics.log_metric(name, value)
