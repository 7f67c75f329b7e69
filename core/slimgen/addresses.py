"""Addresses as they may be told: without users, passwords and tokens, however these are written."""

import os
import re
from urllib.parse import unquote

_ADDRESS = re.compile(r"[\w+.-]+://\S+")
_SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|CREDENTIAL|API_KEY|ACCESS_KEY")
_SECRET_KEY = re.compile(r"[?&;][\w.-]*(password|token|secret|credential|key|signature|sig)[\w.-]*=", re.IGNORECASE)
HIDDEN = "***"


def shown(address: str) -> str:
    """An address without whoever it names and without its query; a local file as it is.

    A password may hold any character, so nothing before the last `@` is shown; where one comes after a `?` or `#`, it
    may be of a password or of a query, and only the scheme is.
    """
    scheme, mark, rest = address.partition("://")
    if not mark or rest.startswith("/"):
        return address
    before, query = re.fullmatch(r"([^?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{scheme}://{HIDDEN}" if "@" in query else f"{scheme}://{before.rpartition('@')[2]}"


def secret(address: str) -> bool:
    """Whether an address names somebody, or has a query with a password or token in it."""
    rest = address.partition("://")[2]
    return "@" in rest or bool(_SECRET_KEY.search(rest))


def pieces(address: str) -> set[str]:
    """What is hidden of an address, whole and in the pieces that a parser may make of it."""
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
    """What an error says of an address: its kind alone where any piece of what is hidden is in its words."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    if not text or any(piece in text for piece in pieces(address) if len(piece) > 1):  # a letter is in every text
        return kind
    return f"{kind}: {scrubbed(text)[:200]}"


def scrubbed(text: str) -> str:
    """A text without the secrets of addresses in it, nor what the environment holds of passwords and tokens."""
    for name, value in os.environ.items():
        hidden = {value} if _SECRET.search(name.upper()) else pieces(value) if "://" in value else set()
        for piece in sorted(hidden, key=len, reverse=True):
            if len(piece) > 3:  # shorter ones are everywhere, and are hidden with the address below
                text = text.replace(piece, HIDDEN)
    return _ADDRESS.sub(lambda found: shown(found[0]), text)
