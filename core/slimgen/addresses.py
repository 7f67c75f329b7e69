"""Addresses in a form that may be printed: without users, passwords and tokens, however these are written."""

import os
import re
from urllib.parse import unquote

_ADDRESS = re.compile(r"[\w+.-]+://\S+")
_SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|CREDENTIAL|API_KEY|ACCESS_KEY")
_SECRET_KEY = re.compile(r"[?&;][\w.-]*(password|token|secret|credential|key|signature|sig)[\w.-]*=", re.IGNORECASE)
HIDDEN = "***"


def shown(address: str) -> str:
    """Return an address without user, password and query; a local file unchanged.

    A password may contain any character, so nothing before the last `@` is shown. An `@` after a `?` or `#` may belong
    to a password or to a query; only the scheme is shown then.
    """
    scheme, mark, rest = address.partition("://")
    if not mark or rest.startswith("/"):
        return address
    before, query = re.fullmatch(r"([^?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{scheme}://{HIDDEN}" if "@" in query else f"{scheme}://{before.rpartition('@')[2]}"


def secret(address: str) -> bool:
    """Return whether an address contains a user, or a query with a password or token."""
    rest = address.partition("://")[2]
    return "@" in rest or bool(_SECRET_KEY.search(rest))


def pieces(address: str) -> set[str]:
    """Return the hidden parts of an address, whole and in the pieces into which a parser may split them."""
    if shown(address) == address:
        return set()
    _, _, rest = address.partition("://")
    user, _, _ = rest.rpartition("@")
    query = "".join(re.split(r"(?=[?#])", rest, maxsplit=1)[1:])
    found = {
        part for hidden in (user, user.partition(":")[2], query) for part in (hidden, *re.split(r"[:/@?#&=;]", hidden))
    }
    return {form for part in found if part for form in (part, unquote(part))}


def told(error: BaseException, address: str) -> str:
    """Return the text of an error about an address: only its class where the message contains a hidden piece."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    if not text or any(
        piece in text for piece in pieces(address) if len(piece) > 1
    ):  # a single letter is in every text
        return kind
    return f"{kind}: {scrubbed(text)[:200]}"


def scrubbed(text: str) -> str:
    """Return a text without secrets in addresses, and without passwords and tokens from the environment."""
    for name, value in os.environ.items():
        hidden = {value} if _SECRET.search(name.upper()) else pieces(value) if "://" in value else set()
        for piece in sorted(hidden, key=len, reverse=True):
            if len(piece) > 3:  # shorter ones occur in any text; within an address they are hidden below
                text = text.replace(piece, HIDDEN)
    return _ADDRESS.sub(lambda found: shown(found[0]), text)
