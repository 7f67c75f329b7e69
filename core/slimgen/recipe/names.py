"""Names that become folders, files and keys of a log: the same on every system, and never a path."""

from slimgen.errors import RecipeError

_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(1, 10))}
_SIGNS = set('/\\:*?"<>|')
_LONGEST = 120


def require_name(name: str) -> str:
    """A name that can be a folder's anywhere.

    Raises:
        RecipeError: empty, a path, with signs that some system does not allow, or too long.
    """
    rule = "must be a plain name, as of a folder"
    if not name.strip() or name != name.strip():
        raise RecipeError(rule, f"{name!r}, with nothing or spaces around", "choose another name")
    if found := sorted({sign for sign in name if sign in _SIGNS or not sign.isprintable()}):
        raise RecipeError(rule, f"{name[:80]!r}, with {' '.join(map(repr, found))}", "leave such signs out")
    if name[0] in "-.~" or name.endswith("."):
        raise RecipeError(rule, f"{name[:80]!r}", "begin it with a letter or digit, and end it with no dot")
    if name.partition(".")[0].lower() in _RESERVED:
        raise RecipeError(rule, f"{name!r}, which Windows has for a device", "choose another name")
    if len(name.encode()) > _LONGEST:
        raise RecipeError(rule, f"one of {len(name.encode())} bytes", f"choose one of {_LONGEST} at most")
    return name
