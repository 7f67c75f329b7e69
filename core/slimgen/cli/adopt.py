"""`slimgen adopt`: a generator that is already trained, measured and exported."""

import re
from pathlib import Path
from typing import Annotated

import typer

from slimgen.cli.options import SIZE, Json, Settings, leading
from slimgen.cli.profile import parse_options
from slimgen.cli.stages import perform_all, show_outcome
from slimgen.stages.table import default_out


def adopt(
    context: typer.Context,
    weights: Annotated[str, typer.Argument(metavar="WEIGHTS", help="A checkpoint: a safetensors or PyTorch file.")],
    family: Annotated[
        str,
        typer.Argument(metavar="FAMILY", help="resnet, unet ..., or a class: package.module:Class, FILE.py:Class."),
    ],
    data: Annotated[
        Path | None, typer.Option("--data", "-d", metavar="DIR", help="The images; by default slimgen draws some.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="paired, unpaired, labels ...; by default upscale or single.")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="SIZE", help=f"Size of the input. {SIZE}.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Which network of the file: params_ema, netG_A ...")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="RUN", help="By default runs/NAME.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run; by default that of --out, or the file's.")
    ] = None,
    set_: Settings = None,
    as_json: Json = False,
) -> None:
    """Measure and export a generator that is already trained.

    Any option of the family may follow: `slimgen adopt latest_net_G.pth resnet --norm batch --data facades --task
    paired`, or channels in GAN Compression's notation: `slimgen adopt net.pth mobile_resnet --config
    32_32_48_32_48_48_16_16`.

    Without a task, a generator that enlarges 2, 3 or 4 times is measured by the protocol of super-resolution, and any
    other is given single pictures. The same command again goes on where it stopped.
    """
    generator = {"family": family, **parse_options(context.args)}
    from slimgen.size import Size
    from slimgen.stages.label import checked
    from slimgen.tasks.adopting import recipe_of

    named = checked(name) or re.sub(r"[^\w-]+", "-", Path(weights).stem).strip("-_") or "adopted"
    given = None if size is None else Size.of(size)
    recipe = recipe_of(
        weights, generator, name=named, task=task, size=given, key=key, settings=set_, embedded=data is None
    )
    folder = out or default_out(named)
    metrics = perform_all(recipe, data, folder, name=name)
    if leading():
        show_outcome(recipe, folder, metrics, as_json)
