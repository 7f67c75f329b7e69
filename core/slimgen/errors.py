"""Errors for users: one line each, with the rule, the value that broke it, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class SlimgenError(ValueError):
    """User-facing error, printed as one line: rule, "got" and the value, hint.

    The command line prints the line and exits with status 2.

    Args:
        rule: what is wrong, or what must be.
        got: the value that came instead, printed after "got"; None leaves it out.
        hint: what to do.
    """

    def __init__(self, rule: str, got: object = None, hint: str | None = None) -> None:
        self.rule, self.got, self.hint = rule, got, hint
        parts = [rule.rstrip("."), "" if got is None else f"got {got}", (hint or "").rstrip(".")]
        line = "; ".join(printable(" ".join(part.split())) for part in parts if part)
        super().__init__(line if line.endswith("?") else f"{line}.")


class RecipeError(SlimgenError):
    """Recipe that cannot be read, or with values that do not fit together."""


class DataError(SlimgenError):
    """Images that are missing, damaged, or in no known layout."""


class BudgetError(SlimgenError):
    """Budget that no network of the space can meet."""


class CheckpointError(SlimgenError):
    """Weights that are damaged, unsafe to load, or of another network."""


class WeightsError(SlimgenError):
    """Feature network whose weights are not on this machine."""


class ExportError(SlimgenError):
    """Exported model whose output differs from the PyTorch network's."""


class RunError(SlimgenError):
    """Run folder that is in use, incomplete or of another recipe."""


def printable(text: str) -> str:
    """Return a text with unprintable characters escaped, such as control codes and surrogate halves.

    Names of files and recipes come from outside, and a terminal obeys control codes in its output.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint for a misspelt word: the nearest known word, or all known words."""
    known = sorted(known)
    lower = {name.lower(): name for name in known}
    close = get_close_matches(word, known, n=1, cutoff=0.5) or get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    return f"did you mean {lower.get(close[0], close[0])!r}?" if close else f"known: {', '.join(known)}"


def reason(error: BaseException) -> str:
    """Return the informative line of an error's innermost cause; libraries wrap it in pages of advice."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if lines[0].startswith("The following operation failed"):  # TorchScript names the cause in its last line
        lines = lines[-1:]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])[:300]
