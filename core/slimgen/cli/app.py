"""The command `slimgen`. What a subcommand needs is imported when it runs, so that help comes at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from slimgen.cli import adopt, compare, data, listings, profile, stages, tidy, ui
from slimgen.cli.endings import tell


class Guarded(TyperGroup):
    """Turns whatever ends a command early into one line on stderr and an exit status."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Reads the command line."""
        with _one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> object:
        """Runs the subcommand."""
        with _one_line(ctx.params.get("debug", False)):
            return super().invoke(ctx)


@contextmanager
def _one_line(debug: bool = False) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        own = type(error).__module__.partition(".")[0] in ("typer", "click")  # how these end a command themselves
        if own or (debug and isinstance(error, Exception)):
            raise
        raise typer.Exit(tell(error)) from None


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
app.command("adopt", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(adopt.adopt)
app.command("compare")(compare.compare)
app.command("profile", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(profile.profile)
app.command("recipes")(listings.recipes)
app.command("spaces")(listings.spaces)
app.add_typer(data.app, name="data")
app.command("tidy")(tidy.tidy)
app.command("ui")(ui.ui)
