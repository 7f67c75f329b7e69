"""Folders of stages that tests put files into: as if the stage itself had written them."""

import json
from collections.abc import Mapping
from pathlib import Path

from slimgen.recipe import Recipe
from slimgen.run.folder import StageFolder
from slimgen.run.record import STAGE, digest, sha256_file
from slimgen.stages.fingerprint import digest_input, fingerprint
from slimgen.stages.table import STAGES
from slimgen.tasks import suited


def restamped(folder: Path) -> Path:
    """Records the files of a finished stage as they are now; the folder."""
    record = json.loads((folder / STAGE).read_text())
    for name, output in record["outputs"].items():
        path = folder / name
        output |= {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    record["digest"] = digest({name: output["sha256"] for name, output in record["outputs"].items()})
    (folder / STAGE).write_text(json.dumps(record))
    return folder


def begun_stage(name: str, recipe: Recipe, inputs: Mapping[str, Path], out: Path) -> Path:
    """The folder of a stage that was begun and stopped, to which a test adds what it had written until then."""
    digests = {other: digest_input(other, folder) for other, folder in inputs.items()}
    mark = fingerprint(STAGES[name], suited(recipe, inputs), digests, inputs)
    StageFolder(out, name, mark).begin().release()
    return out
