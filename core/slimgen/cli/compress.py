"""`slimgen compress`: a generator that is already trained, made smaller by the method that suits it."""

import re
from pathlib import Path
from typing import Annotated

import typer

from slimgen.cli.options import SIZE, Json, Quick, Settings, leading
from slimgen.cli.profile import parse_options
from slimgen.cli.stages import perform_all, show_outcome
from slimgen.stages.table import default_out


def compress(
    context: typer.Context,
    weights: Annotated[str, typer.Argument(metavar="WEIGHTS", help="A checkpoint: a safetensors or PyTorch file.")],
    family: Annotated[
        str | None,
        typer.Argument(
            metavar="FAMILY", help="A class, package.module:Class or FILE.py:Class; published families are recognised."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", "-d", metavar="DIR", help="The images: pairs, two sets, or pictures alone.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", "-b", metavar="LIMIT", help="Multiply-accumulates: a share, 1/8, or a number."),
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(
            "--latency-ms",
            metavar="MS",
            help="Milliseconds of one image in onnxruntime on this machine, at --size. The smallest network is "
            "measured first, so that a limit out of reach is refused.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="paired, unpaired, single or upscale; by default the one that generator and folders suit."
        ),
    ] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="SIZE", help=f"Size of the input. {SIZE}.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Which network of the file: params_ema, netG_A ...")] = None,
    discriminator: Annotated[
        str | None,
        typer.Option("--discriminator", metavar="FILE", help="The original's discriminator, if there is one."),
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="pruning or gan_compression; by default the one that suits.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="RUN", help="By default runs/NAME.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run; by default that of --out, or the file's.")
    ] = None,
    set_: Settings = None,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Make a generator that is already trained smaller, within a budget.

    `slimgen compress latest_net_G.pth --data facades --budget 1/8`: family, norm, width and blocks are read from the
    checkpoint, the task from the folders of the images. A generator that enlarges 2, 3 or 4 times takes pictures, made
    smaller or beside smaller ones. The options of a class of your own may follow its name. No discriminator is needed:
    the original's own outputs are the targets. What cannot be reached is refused before anything runs. The same command
    again goes on where it stopped.
    """
    from slimgen.errors import RecipeError, SlimgenError, printable
    from slimgen.size import Size
    from slimgen.stages.compressing import Asked, plan
    from slimgen.stages.label import checked

    if data is None:
        raise SlimgenError("compress needs images", None, "add --data DIR")
    words = list(context.args)
    if family is not None and family.startswith("--"):  # an option, which the parser does not know
        words, family = [family, *words], None
    options = parse_options(words)
    if options and family is None:
        rule = "options of a network must follow its family or class"
        raise RecipeError(rule, ", ".join(f"--{option}" for option in options), "name the family after the weights")
    limits: dict[str, object] = {} if budget is None else {"macs": _limit(budget)}
    if latency_ms is not None:
        limits["latency_ms"] = latency_ms
    named = checked(name) or re.sub(r"[^\w-]+", "-", Path(weights).stem).strip("-_") or "compressed"
    found = plan(
        Asked(
            weights,
            data,
            {} if family is None else {"family": family, **options},
            limits,
            named,
            task=task,
            size=None if size is None else Size.of(size),
            key=key,
            discriminator=discriminator,
            method=method,
            settings=set_,
            out=out,
        )
    )
    recipe = found.recipe
    if quick:
        from slimgen.stages.quick import quick as shortened

        recipe = shortened(recipe)
    if leading():
        typer.echo(printable(found.said), err=True)
    folder = out or default_out(recipe.name)
    metrics = perform_all(recipe, data, folder, name=name)
    if leading():
        show_outcome(recipe, folder, metrics, as_json)


def _limit(text: str) -> int | str:
    """Return a limit as a recipe has it: a whole number, or a share as text."""
    digits = text.replace("_", "").replace(",", "")
    return int(digits) if digits.isdecimal() else text
