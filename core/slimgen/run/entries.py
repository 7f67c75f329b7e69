"""Names and values in the form that a tracking server takes, and the environment of a run."""

import getpass
import hashlib
import json
import math
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from slimgen.files import plain
from slimgen.run.record import Record
from slimgen.text import amount

KEY_LENGTH, VALUE_LENGTH = 250, 6000
CONTINUED = "mlflow.run"  # tag: id of the run that a pipeline began and a stage continues
NOTE = "mlflow.note.content"  # tag that MLflow shows as a run's description, in Markdown
NOTE_LENGTH = 4900
# Ids of this run elsewhere, as tags: environment variables that DVC, Kubeflow and Argo set or a pipeline passes on.
SURROUNDINGS = {
    "MLFLOW_RUN_ID": CONTINUED,
    "DVC_EXP_NAME": "dvc.experiment",
    "DVC_EXP_BASELINE_REV": "dvc.baseline",
    "DVC_STAGE": "dvc.stage",
    "KFP_RUN_ID": "kfp.run",
    "KFP_RUN_NAME": "kfp.run_name",
    "KFP_POD_NAME": "kfp.pod",
    "ARGO_WORKFLOW_NAME": "argo.workflow",
}


def entry_name(text: str) -> str:
    """Return a name of letters, digits and `_-. :/`, such as `fd:lenet`, that is safe as a path."""
    clean = re.sub(r"[^\w\-. :/]", "_", text, flags=re.ASCII)
    parts = [part for part in clean.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:KEY_LENGTH] or "_"


def registered_name(text: str) -> str:
    """Return the name of a registered model, which is neither a path nor an address."""
    return re.sub(r"[^\w\- ]", "-", text)


def parameters(values: Mapping[str, object]) -> dict[str, str]:
    """Return nested parameters with dotted names; sequences as JSON.

    A value that is too long is cut, and ends in a digest of the whole, so that different values stay different.
    """
    found = {}
    for name, value in _flat(values):
        text = str(_cell(value))
        if len(text) > VALUE_LENGTH:
            text = text[: VALUE_LENGTH - 70] + "... " + hashlib.sha256(text.encode()).hexdigest()
        found[name[:KEY_LENGTH]] = text
    return found


def measures(values: Mapping[str, object]) -> dict[str, float]:
    """Return the finite numbers among the values, nested ones with dotted names."""
    return {
        name: float(number)
        for name, number in _flat(values)
        if isinstance(number, int | float) and math.isfinite(number)
    }


def named(quality: Mapping[str, float], costs: Mapping[str, float]) -> str:
    """Return the first figures of a generator as a short name: `17.56 dB, 70.9 M MACs`, `fid 21.3, 1.2 ms`."""
    figures = [f"{value:.4g} dB" if name == "psnr" else f"{name} {value:.4g}" for name, value in quality.items()][:1]
    for name, unit in (("latency_ms", "ms"), ("macs", "MACs"), ("params", "parameters")):
        if name in costs:
            value = costs[name]
            figures.append(f"{f'{value:.3g}' if unit == 'ms' else amount(value)} {unit}")
            break
    return ", ".join(figures)


def abridged(card: Path) -> str:
    """Return a model card as a description of limited length, without its YAML and its picture.

    A description cannot show the picture, which is a file beside the card.
    """
    text = card.read_text(encoding="utf-8")
    body = text.partition("\n---\n")[2] if text.startswith("---\n") else text
    lines = [line for line in body.strip().splitlines() if not line.startswith("![")]
    return "\n".join(lines)[:NOTE_LENGTH]


def columns(rows: Iterable[Mapping[str, object]]) -> dict[str, list[object]]:
    """Return a table by columns, in the order of appearance, with None for missing values; nested values as JSON."""
    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [_cell(plain(row.get(name))) for row in rows] for name in names}


def _flat(values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield names and plain values, nested ones with dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from ((f"{entry_name(key)}.{name}", item) for name, item in _flat(value))
        else:
            yield entry_name(key), plain(value)


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | dict) else value


def surroundings() -> dict[str, str]:
    """Return tags: the working folder's git revision, the user, and the ids of DVC and Kubeflow, if any."""
    tags = {tag: os.environ[name] for name, tag in SURROUNDINGS.items() if os.environ.get(name)}
    with suppress(OSError, subprocess.SubprocessError):  # no git here, or no repository
        command = ["git", "rev-parse", "HEAD"]
        revision = subprocess.run(command, capture_output=True, text=True, timeout=3, check=True).stdout.strip()
        tags["mlflow.source.git.commit"] = revision
    with suppress(OSError, KeyError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    return tags


def tags_of(folder: Path, record: Record) -> dict[str, str]:
    """Return the tags for finding a stage's run, besides those that identify it."""
    return {"recipe": folder.parent.name, **{k: v for k, v in record.get("tags", {}).items() if k != CONTINUED}}


def title_of(folder: Path, record: Record) -> str:
    """Return the displayed name of a stage's run; in records without a label, its recipe's name."""
    return str(record.get("label", {}).get("name") or tags_of(folder, record)["recipe"])
