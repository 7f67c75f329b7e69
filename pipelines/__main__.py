"""Commands of `python -m pipelines`: compile, run and submit."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from slimgen.cli.endings import ending
from slimgen.cli.options import Settings, print_table, read_recipe
from slimgen.files import TABLE

app = typer.Typer(
    help="slimgen's stages as a Kubeflow pipeline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Recipes = Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Presets, YAML files, or FILE#key.path.")]
Gpus = Annotated[int, typer.Option(min=0, help="GPUs for each stage that trains.")]
Claim = Annotated[str, typer.Option(help="Persistent volume claim for the stages' unfinished work.")]
AtOnce = Annotated[int, typer.Option(min=1, help="Recipes of a sweep that run in parallel.")]


@app.command("compile")
def compile_(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("compress.yaml"),
    many: Annotated[bool, typer.Option("--sweep", help="Compile the pipeline of many recipes.")] = False,
    gpus: Gpus = 0,
    claim: Claim = "",
    at_once: AtOnce = 4,
) -> None:
    """Write the pipeline as a YAML file for upload."""
    from kfp import compiler

    from components.image import IMAGE, unversioned
    from pipelines.compress import compress
    from pipelines.resources import Cluster
    from pipelines.sweep import sweep

    pipeline = (sweep if many else compress)(Cluster(gpus, claim, at_once))
    out.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline, str(out))
    print(f"{out} (image {IMAGE})")
    if note := unversioned():
        print(note, file=sys.stderr)


@app.command()
def run(
    recipe: Recipes,
    data: Annotated[Path, typer.Option(help="Folder of images.")],
    out: Annotated[Path, typer.Option(help="Folder for the stages' folders.")] = Path("runs/kubeflow"),
    set_: Settings = None,
) -> None:
    """Run the pipeline on this machine, each stage in its own process."""
    from pipelines.local import run as run_here
    from slimgen.report.table import read_table, rows_table

    recipes = [read_recipe(reference, set_) for reference in recipe]
    for one, folder in zip(recipes, run_here(recipes, data, out), strict=True):
        table = read_table(folder / "evaluate" / TABLE)
        print_table(rows_table(table.rows, f"{one.name}, {one.size}", table.convention, table.notes))
        print(folder)


@app.command()
def submit(
    recipe: Recipes,
    data: Annotated[str, typer.Option(help="URI of the image folder in the cluster's object store.")],
    host: Annotated[str, typer.Option(help="Address of the Kubeflow Pipelines server.")],
    gpus: Gpus = 0,
    claim: Claim = "",
    at_once: AtOnce = 4,
    namespace: Annotated[str, typer.Option(help="Namespace of the run.")] = "kubeflow",
    experiment: Annotated[str, typer.Option(help="Kubeflow's group of runs.")] = "slimgen",
    set_: Settings = None,
    cache: Annotated[bool, typer.Option(help="Reuse cached results of earlier tasks with the same inputs.")] = True,
) -> None:
    """Run the pipeline on a cluster."""
    from components.image import unversioned
    from pipelines.resources import Cluster
    from pipelines.submit import submit as submit_there

    if note := unversioned():
        print(note, file=sys.stderr)
    recipes = [read_recipe(reference, set_) for reference in recipe]
    cluster = Cluster(gpus, claim, at_once)
    print(submit_there(recipes, data, host, cluster, namespace=namespace, experiment=experiment, cache=cache))


def main() -> None:
    """Run a command; a user error is printed as one line, with exit status 2."""
    with ending("pipelines"):
        app()


if __name__ == "__main__":
    main()
