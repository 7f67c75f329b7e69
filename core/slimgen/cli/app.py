"""The command `slimgen`. What a subcommand needs is imported when it runs, so that help comes at once."""

from importlib.metadata import version
from typing import Annotated

import typer
from typer.core import TyperGroup

from slimgen.cli import compare, data, listings, profile, stages, ui
from slimgen.errors import SlimgenError

FAULT, INTERRUPTED = 2, 130


class Guarded(TyperGroup):
    """Turns what users can mend into one line on stderr, and an interrupt into advice."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Runs the subcommand; exits with status 2 after a user's fault, with 130 after Ctrl-C."""
        try:
            return super().invoke(ctx)
        except SlimgenError as error:
            if ctx.params.get("debug"):
                raise
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(FAULT) from None
        except KeyboardInterrupt:
            typer.echo("\ninterrupted; run the same command again to go on", err=True)
            raise typer.Exit(INTERRUPTED) from None


# Plain help: coloured boxes would cost more time than the rest of `slimgen --help` together.
app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"slimgen {version('slimgen')}")
        raise typer.Exit


@app.callback()
def slimgen(
    debug: Annotated[bool, typer.Option("--debug", envvar="SLIMGEN_DEBUG", help="Show tracebacks of faults.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Search and compress the generators of GANs, and export them to ONNX.

    `slimgen run townhouses-cf_gan` does everything once, on pictures that slimgen draws itself.
    """


app.command("run")(stages.run)
stages.add_to(app)
app.command("compare")(compare.compare)
app.command("profile", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(profile.profile)
app.command("recipes")(listings.recipes)
app.command("spaces")(listings.spaces)
app.add_typer(data.app, name="data")
app.command("ui")(ui.ui)


def main() -> None:
    """The entry point of the command `slimgen`."""
    app(prog_name="slimgen")
