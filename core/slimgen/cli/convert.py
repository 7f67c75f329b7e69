"""`slimgen convert`: a run's generator for another runtime."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slimgen.cli.options import SIZE, Json, print_json

if TYPE_CHECKING:
    from slimgen.export.converting import Conversion, Converted


def convert(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    to: Annotated[str, typer.Option("--to", metavar="RUNTIME", help="litert, ncnn, openvino, executorch or coreml.")],
    python: Annotated[
        Path | None,
        typer.Option(
            "--python",
            metavar="PYTHON",
            help="The Python of an environment with the converter's packages. By default slimgen makes one in the "
            "user's cache, with pip, once.",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="SIZE", help=f"Size of the input. {SIZE}. By default the recipe's.")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Convert the generator of the reverse direction.")] = False,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Timed calls.")] = 50,
    as_json: Json = False,
) -> None:
    """Convert a run's generator for phones and other runtimes.

    RUN/convert/RUNTIME gets the files for one image of one size, compared with the PyTorch network on the test images,
    and timed, where the runtime runs on this machine. The converter's packages are installed into an environment of
    their own, never into slimgen's.
    """
    from slimgen.export.converting import target_of
    from slimgen.size import Size

    target_of(to)  # before anything is imported that takes a moment
    given = None if size is None else Size.of(size)
    from slimgen.stages.converting import convert_run

    found = convert_run(run, to, python=python, reverse=reverse, size=given, runs=runs)
    if as_json:
        print_json(facts(found))
        return
    typer.echo(str(found.folder))
    for variant in found.variants:
        typer.echo(line(variant, found))


def facts(found: "Conversion") -> dict[str, object]:
    """Return a conversion as JSON has it."""
    variants = [asdict(variant) for variant in found.variants]
    return {"folder": found.folder, "runtime": found.target.name, "variants": variants, "versions": found.versions}


def line(variant: "Converted", found: "Conversion") -> str:
    """Return a converted variant in one line: files, size, agreement and time."""
    from slimgen.report.words import size

    parts = [f"{variant.name}: {', '.join(variant.files)}", size(variant.bytes), variant.about]
    if variant.max_abs is None:
        parts.append(f"not compared: {found.target.title} runs on Apple's systems alone")
    else:
        apart = f"at most {variant.max_abs:.3g} apart from PyTorch, {variant.psnr_db:.4g} dB"
        threads = f"{variant.threads} thread{'' if variant.threads == 1 else 's'}"
        beside = variant.onnxruntime_p50_ms
        turns = "" if beside is None else f", onnxruntime {beside:.4g} ms in turns"
        parts += [f"{apart}, on {variant.images} images", f"{variant.p50_ms:.4g} ms with {threads}{turns}"]
    return "; ".join(parts)
