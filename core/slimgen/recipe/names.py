"""Names of folders, files and log keys, valid on every system and never a path."""

from slimgen.errors import RecipeError

_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(1, 10))}
_SIGNS = set('/\\:*?"<>|')
_LONGEST = 120


def require_name(name: str) -> str:
    """Return the name if a folder can have it on every system.

    Raises:
        RecipeError: the name is empty, a path or too long, or has characters that some system does not allow.
    """
    rule = "must be a plain name that a folder can have"
    if not name.strip() or name != name.strip():
        raise RecipeError(rule, f"{name!r}, which is empty or has spaces around it", "choose another name")
    if found := sorted({sign for sign in name if sign in _SIGNS or not sign.isprintable()}):
        raise RecipeError(rule, f"{name[:80]!r}, with {' '.join(map(repr, found))}", "leave these characters out")
    if name[0] in "-.~" or name.endswith("."):
        raise RecipeError(rule, f"{name[:80]!r}", "begin it with a letter or digit, and do not end it with a dot")
    if name.partition(".")[0].lower() in _RESERVED:
        raise RecipeError(rule, f"{name!r}, which Windows reserves for a device", "choose another name")
    if len(name.encode()) > _LONGEST:
        raise RecipeError(rule, f"one of {len(name.encode())} bytes", f"choose one of at most {_LONGEST} bytes")
    return name
