"""`slimgen profile`: costs of a network, without training it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slimgen.cli.options import SIZE, Json, print_json
from slimgen.errors import SlimgenError

if TYPE_CHECKING:
    from slimgen.cost.formula import Cost


def profile(
    context: typer.Context,
    family: Annotated[
        str,
        typer.Argument(metavar="FAMILY", help="resnet, unet ..., or a class: package.module:Class, FILE.py:Class."),
    ],
    size: Annotated[str, typer.Option("--size", metavar="SIZE", help=f"{SIZE}.")] = "256",
    height: Annotated[int | None, typer.Option("--height", min=1, help="Instead of --size.")] = None,
    width: Annotated[int | None, typer.Option("--width", min=1, help="Instead of --size.")] = None,
    discriminator: Annotated[bool, typer.Option("--discriminator", help="Take FAMILY for a discriminator.")] = False,
    latency: Annotated[bool, typer.Option("--latency", help="Measure the milliseconds of one image, too.")] = False,
    threads: Annotated[int, typer.Option("--threads", min=1, help="With --latency.")] = 1,
    runs: Annotated[int, typer.Option("--runs", min=1, help="With --latency.")] = 20,
    as_json: Json = False,
) -> None:
    """Count a network's parameters and MACs; nothing is trained.

    MACs are counted under each convention. A class of your own is named by its import path.

    Any option of the family may follow: `slimgen profile resnet --ngf 64 --blocks 9 --size 256`, or channels in GAN
    Compression's notation: `slimgen profile mobile_resnet --config 32_32_48_32_48_48_16_16`. An option that is a table,
    such as a trellis' --genotype, is given as a JSON file.
    """
    from slimgen.cost.formula import CONVENTIONS
    from slimgen.nets.profile import Network, is_discriminator
    from slimgen.size import Size

    options = parse_options(context.args)
    both = Size.of(size)
    high, wide = height or both.height, width or both.width
    network = Network(family, options, high, wide, is_discriminator(family, discriminator))
    cost = network.cost()
    facts: dict[str, object] = {
        "family": family,
        "options": options,
        "height": high,
        "width": wide,
        "params": cost.params,
        "macs": {name: cost.macs(name) for name in CONVENTIONS},
        "bytes": cost.bytes,
    }
    if latency:
        facts["latency"] = network.latency(threads, runs)
    if as_json:
        print_json(facts)
    else:
        _show(facts, cost)


def parse_options(words: list[str]) -> dict[str, object]:
    """Parse `--key value` and `--key=value`; a value that names a JSON file stands for its content.

    Raises:
        SlimgenError: something else than options, or one without a value.
    """
    options: dict[str, object] = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise SlimgenError("options of a network must be --key value", repr(word))
        if not equals:
            if not waiting:
                raise SlimgenError("options of a network must be --key value", f"{word} without a value")
            value = waiting.pop(0)
        options[name.replace("-", "_")] = _value(value)
    return options


def _value(text: str) -> object:
    """Return an option's value: YAML, or the content of a JSON file; the genotype of a file that `search` wrote."""
    from slimgen.recipe.reading import read

    if text.endswith(".json"):
        try:
            value = json.loads(Path(text).read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise SlimgenError(f"{text} must be a JSON file", error) from None
        return value["genotype"] if isinstance(value, Mapping) and "genotype" in value else value
    return read(text, f"the option {text[:40]!r}")


def _show(facts: Mapping[str, object], cost: "Cost") -> None:
    """Print the counts as lines, by convention."""
    from slimgen.cost.formula import CONVENTIONS
    from slimgen.report.words import size
    from slimgen.text import amount

    typer.echo(f"{facts['family']} at {facts['height']} x {facts['width']}")
    typer.echo(f"  {'parameters':<22} {cost.params:>18,}  {amount(cost.params)}")
    for name in CONVENTIONS:
        typer.echo(f"  {f'MACs ({name})':<22} {cost.macs(name):>18,}  {amount(cost.macs(name))}")
    typer.echo(f"  {'bytes (float32)':<22} {cost.bytes:>18,}  {size(cost.bytes)}")
    if isinstance(time := facts.get("latency"), Mapping):
        how = f"{time['runtime']}, {time['variant']}, {time['threads']} thread(s)"
        typer.echo(f"  {'latency p50 / p95':<22} {time['p50_ms']:>9.4g} / {time['p95_ms']:.4g} ms  {how}")
