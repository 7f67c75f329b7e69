"""The command `slimgen`. A subcommand's imports run only when it does, so that help appears at once."""

from typing import Annotated

import typer

from slimgen import __version__
from slimgen.cli import adopt, compare, compress, convert, curves, data, demo, listings, profile, stages, tidy, ui
from slimgen.cli.group import INSPECT, START, Group

# Plain help: coloured boxes would cost more time than the rest of `slimgen --help` together.
app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"slimgen {__version__}")
        raise typer.Exit


@app.callback()
def slimgen(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="SLIMGEN_DEBUG", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Search and compress the generators of GANs, and export them to ONNX.

    `slimgen run townhouses-cf_gan` does everything once, on pictures that slimgen draws itself. A GPU is used where
    there is one.
    """


_OPEN = {"allow_extra_args": True, "ignore_unknown_options": True}  # a network's own options follow

app.command("run", rich_help_panel=START)(stages.run)
app.command("adopt", rich_help_panel=START, context_settings=_OPEN)(adopt.adopt)
app.command("compress", rich_help_panel=START, context_settings=_OPEN)(compress.compress)
app.command("convert", rich_help_panel=START)(convert.convert)
app.command("compare", rich_help_panel=START)(compare.compare)
app.command("recipes", rich_help_panel=START)(listings.recipes)
app.add_typer(data.app, name="data", rich_help_panel=START)
app.command("demo", rich_help_panel=START)(demo.demo)
app.command("ui", rich_help_panel=START)(ui.ui)
stages.add_to(app)
app.command("profile", rich_help_panel=INSPECT, context_settings=_OPEN)(profile.profile)
app.command("spaces", rich_help_panel=INSPECT)(listings.spaces)
app.command("curves", rich_help_panel=INSPECT)(curves.curves)
app.command("tidy", rich_help_panel=INSPECT)(tidy.tidy)
