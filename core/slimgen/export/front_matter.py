"""YAML at the head of a model card, for model hubs: purpose, licence and figures of the model."""

import math
from collections.abc import Mapping

import yaml

from slimgen.errors import printable

LICENCES = {
    "MIT": "mit",
    "Apache-2.0": "apache-2.0",
    "BSD-3-Clause": "bsd-3-clause",
    "CC0": "cc0-1.0",
    "CC BY 4.0": "cc-by-4.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC BY-SA 4.0": "cc-by-sa-4.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
    "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0",
}
"""First words of a recipe's `data.licence` to the licence identifiers of model hubs."""


def front_matter(
    name: str, about: Mapping[str, object], licence: str | None, quality: Mapping[str, float], *, from_images: bool
) -> str:
    """Return the YAML between its two lines of dashes.

    Args:
        name: the model's name.
        about: `task`, `method` and `size`, if known.
        licence: the data's, in its owners' words; None if none was given. One that hubs do not know becomes `other`.
        quality: the exported generator's values by metric.
        from_images: True for a generator of images from images, False for one from noise.
    """
    kind = "image-to-image" if from_images else "unconditional-image-generation"
    tags = ["slimgen", "onnx", "gan", "model-compression", "neural-architecture-search"]
    tags += [str(about[key]).replace("_", "-") for key in ("method", "task") if about.get(key)]
    finite = {metric: float(f"{value:.5g}") for metric, value in quality.items() if math.isfinite(value)}
    size = f", {about['size']} px" if about.get("size") else ""
    data = {"type": "custom", "name": f"test images of {about.get('name') or name}{size}"}
    # The part after a slash names a set of test images.
    kinds = {metric: metric.partition("/")[0] for metric in finite}
    figures = [{"type": kinds[metric], "value": value, "name": metric} for metric, value in finite.items()]
    results = [{"task": {"type": kind}, "dataset": data, "metrics": figures}]
    values: dict[str, object] = {
        **_licence(licence),
        "library_name": "onnx",
        "pipeline_tag": kind,
        "tags": tags,
        "metrics": list(dict.fromkeys(kinds.values())),
        "model-index": [{"name": name, "results": results}] if finite else [],
    }
    shown = _printable({key: value for key, value in values.items() if value})
    return f"---\n{yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=120)}---"


def _licence(licence: str | None) -> dict[str, str]:
    if licence is None:
        return {}
    known = next((identifier for word, identifier in LICENCES.items() if licence.startswith(word)), None)
    return {"license": known} if known else {"license": "other", "license_name": licence}


def _printable(value: object) -> object:
    """Return values whose texts hold no control codes."""
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return printable(value) if isinstance(value, str) else value
