"""What slimgen raises when the fault is not its own: one line that says the rule, what came, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class SlimgenError(ValueError):
    """A user-facing error: what must hold, what arrived instead, and what to do about it.

    The command line prints it as one line and exits with status 2.
    """

    def __init__(self, rule: str, got: object = None, hint: str | None = None) -> None:
        self.rule, self.got, self.hint = rule, got, hint
        parts = [rule.rstrip("."), "" if got is None else f"got {got}", (hint or "").rstrip(".")]
        line = "; ".join(printable(" ".join(part.split())) for part in parts if part)
        super().__init__(line if line.endswith("?") else f"{line}.")


class RecipeError(SlimgenError):
    """A recipe that cannot be read or does not make sense."""


class DataError(SlimgenError):
    """Images that are missing, damaged or laid out in no known way."""


class BudgetError(SlimgenError):
    """A budget that no network of the space can meet."""


class CheckpointError(SlimgenError):
    """Weights that are damaged, foreign or unsafe to load."""


class WeightsError(SlimgenError):
    """A feature network whose weights are not to be found on this machine."""


class ExportError(SlimgenError):
    """An exported model that does not compute what the original computes."""


class RunError(SlimgenError):
    """A run folder that is in use, incomplete or of another recipe."""


def printable(text: str) -> str:
    """A text in which whatever is no letter, sign or blank is escaped: codes that move a cursor, halves of characters.

    Names of files and recipes come from outside, and a terminal obeys what it is shown.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint for a misspelt word: the nearest known one, or all of them."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def reason(error: BaseException) -> str:
    """The first telling line of an error's innermost cause: libraries wrap theirs in pages of advice."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if lines[0].startswith("The following operation failed"):  # TorchScript's, which tells the cause last
        lines = lines[-1:]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])[:300]
