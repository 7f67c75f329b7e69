"""Group of all commands: help by purpose, and one line for each mistake on the command line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, cast

import typer
from typer.core import TyperGroup

from slimgen.cli.endings import tell
from slimgen.errors import SlimgenError, nearest

START, SINGLE, INSPECT = "Start here", "Stages, one at a time", "Inspect and tidy"
"""What commands are for, in the order of the help."""

INSTEAD = {
    **dict.fromkeys(("train", "compress", "fit", "start", "go", "main"), ("run", "teach")),
    **dict.fromkeys(("distill", "distil", "pretrain"), ("teach", "supernet")),
    **dict.fromkeys(("nas", "find", "evolve"), ("search", "run")),
    **dict.fromkeys(("eval", "test", "validate", "val", "measure", "benchmark"), ("evaluate", "compare")),
    **dict.fromkeys(("list", "presets", "configs", "config", "ls"), ("recipes",)),
    **dict.fromkeys(("onnx", "deploy"), ("export", "convert")),
    **dict.fromkeys(("tflite", "litert", "ncnn", "openvino", "executorch", "coreml"), ("convert",)),
    **dict.fromkeys(("import", "load", "prune"), ("adopt", "run")),
    **dict.fromkeys(("download", "dataset", "datasets", "get"), ("data",)),
    **dict.fromkeys(("clean", "rm", "delete"), ("tidy",)),
    **dict.fromkeys(("flops", "macs", "count", "summary"), ("profile",)),
    **dict.fromkeys(("mlflow", "dashboard", "show", "report"), ("ui", "compare")),
}
"""Words of other tools for commands, and the commands of this one."""

SETTINGS = {
    **dict.fromkeys(("device", "gpu", "gpus", "cuda"), "compute.device=cuda"),
    "cpu": "compute.device=cpu",
    **dict.fromkeys(("precision", "amp", "bf16", "fp16", "half"), "compute.precision=bf16"),
    **dict.fromkeys(("threads", "workers", "num-workers"), "compute.threads=2"),
    "seed": "seed=1",
    **dict.fromkeys(("size", "resolution", "imgsz", "image-size", "img-size"), "size=64"),
    **dict.fromkeys(("epochs", "epoch"), "teach.epochs=20"),
    **dict.fromkeys(("updates", "steps", "iterations", "iters"), "teach.updates=2000"),
    **dict.fromkeys(("batch", "batch-size"), "teach.batch=2"),
    **dict.fromkeys(("rate", "lr", "learning-rate"), "teach.rate=2e-4"),
    **dict.fromkeys(("budget", "macs", "flops"), "budget.macs=1/8"),
    "params": "budget.params=1/8",
    **dict.fromkeys(("latency", "latency-ms"), "budget.latency_ms=5"),
    **dict.fromkeys(("metric", "metrics"), "evaluate.metrics=psnr"),
    **dict.fromkeys(("checkpoint", "weights", "pretrained", "generator"), "teach.generator_checkpoint=G.pth"),
}
"""Options of other tools, and the setting of a recipe that each stands for."""

HINTS = {
    "run": "slimgen recipes lists the recipes; try slimgen run townhouses-cf_gan",
    "convert": "try slimgen convert runs/RECIPE --to litert",
    "compare": "name run folders, or a folder of runs: slimgen compare runs",
    "profile": "try slimgen profile resnet --ngf 64 --blocks 9 --size 256",
}
"""What to do about a missing argument of a command."""


USAGE = cast(type[Exception], typer.BadParameter.__base__)
"""Typer's errors of usage, of which it exports this one alone."""


class Group(TyperGroup):
    """Command group that turns any early end of a command into one line on stderr and an exit status."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the command line."""
        with _one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> object:
        """Run the subcommand."""
        with _one_line(ctx.params.get("debug", False)):
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the subcommand; raise SlimgenError with the nearest ones for an unknown one."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise SlimgenError(f"there is no command {ctx.command_path} {args[0]}", None, self._nearest(args[0]))
        return super().resolve_command(ctx, args)

    def _nearest(self, word: str) -> str:
        words = {other: names for other, names in INSTEAD.items() if set(names) <= self.commands.keys()}
        close = get_close_matches(word.lower(), [*self.commands, *words], n=1)
        meant = [name for one in close for name in words.get(one, (one,))]
        return f"did you mean {' or '.join(meant)}?" if meant else f"known: {', '.join(self.commands)}"

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands grouped by purpose, none of them cut."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            if not command.hidden:
                panel = getattr(command, "rich_help_panel", None)
                title = panel if isinstance(panel, str) else "Commands"
                panels.setdefault(title, []).append((name, command.get_short_help_str(limit=1000)))
        width = max(len(name) for rows in panels.values() for name, _ in rows)
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), about) for name, about in rows])


@contextmanager
def _one_line(debug: bool = False) -> Iterator[None]:
    try:
        yield
    except USAGE as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        raise typer.Exit(tell(mistake)) from None
    except BaseException as error:
        own = type(error).__module__.partition(".")[0] in ("typer", "click")  # how these end a command themselves
        if own or (debug and isinstance(error, Exception)):
            raise
        raise typer.Exit(tell(error)) from None


def _mistake(error: Any) -> SlimgenError | None:
    """Return what does not fit in a command line, as an error of one line; None where help is shown instead."""
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        return None
    if context is None:
        return SlimgenError(error.format_message())
    command, ask = context.command_path, f"see {context.command_path} -h"
    if hasattr(error, "possibilities"):
        option = error.option_name
        return SlimgenError(f"{command} has no option {option}", None, _instead(option, context) or ask)
    if type(error).__name__ == "MissingParameter":
        name = error.param.metavar or error.param.opts[0]
        hint = HINTS.get(command.rpartition(" ")[2], ask)
        return SlimgenError(f"{command} needs {name.removesuffix('...')}", None, hint)
    if extra := re.search(r"extra argument.* \((.*)\)", error.message):
        return SlimgenError(f"{command} has no place for {extra[1]}", None, ask)
    return SlimgenError(f"{command}: {error.format_message()}", None, ask)


def _instead(option: str, context: Any) -> str:
    """Return what to write in place of an unknown option; empty if there is nothing near."""
    word = option.lstrip("-").lower().replace("_", "-")
    options = [one for param in context.command.params for one in param.opts if one.startswith("--")]
    if word in SETTINGS and "--set" in options:
        return f"it is a setting of the recipe: write --set {SETTINGS[word]}"
    if word == "recipe":
        return f"the recipe stands alone: {context.command_path} RECIPE"
    close = nearest(option, options)
    return close if close.startswith("did") else ""
