"""What an exported file says of itself: properties that every ONNX runtime can read."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from slimgen.files import plain

if TYPE_CHECKING:
    from onnx import ModelProto

CARD = "card"
"""The property with the digest of the card's facts."""
UNKNOWN = "0" * 64
"""It, until it is known; a digest is as long, so that the size of a file does not change with it."""
PRODUCER = "slimgen"


def stamped(model: "ModelProto", properties: Mapping[str, str], version: str) -> bytes:
    """Return a model, serialised, with these properties instead of its own, and with its producer.

    The model is changed. Empty properties are left out. The bytes depend only on model and arguments.
    """
    model.producer_name, model.producer_version, model.model_version = PRODUCER, version, 1
    del model.metadata_props[:]
    for name, value in properties.items():
        if value:
            model.metadata_props.add(key=name, value=value)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def properties_of(content: bytes) -> dict[str, str]:
    """Return the properties of a serialised model."""
    import onnx

    return {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}


def digest_of(facts: Mapping[str, object]) -> str:
    """Return the SHA-256, in hexadecimal, of facts as compact JSON with sorted keys."""
    text = json.dumps(plain(facts), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
