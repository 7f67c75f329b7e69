"""Import of originals that were trained elsewhere: tried before a run, and recorded with their files."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from slimgen.data.batches import Pair, whole
from slimgen.data.prepared import Prepared
from slimgen.device import Compute
from slimgen.errors import CheckpointError
from slimgen.files import ORIGIN, read_json, sha256_file, write_json
from slimgen.metrics.psnr import psnr
from slimgen.nets.checkpoints.choosing import Found, import_weights
from slimgen.nets.weights import require_weights
from slimgen.recipe import Recipe, TeachSection
from slimgen.tasks import open_task
from slimgen.tasks.guidance import REVERSE, Gan
from slimgen.tasks.task import Job
from slimgen.tasks.traits import IMAGES

LOOKED_AT = 8
CLEARER = 3.0
"""Decibels of PSNR by which the reverse direction must fit better before a warning is given."""


def imported(net: nn.Module, path: str, key: str | None = None, setting: str = "teach.generator_key") -> Found:
    """Load weights that were trained elsewhere into a network; see `import_weights`.

    Raises:
        CheckpointError: the file is missing, or its weights do not fit.
    """
    return import_weights(net, path, key, setting)


def named(options: TeachSection, prefix: str = "") -> dict[str, str]:
    """Return the imported files of a direction's networks: `generator`, `discriminator` to the path."""
    paths = {part: getattr(options, f"{prefix}{part}_checkpoint") for part in Gan._fields}
    return {part: path for part, path in paths.items() if path is not None}


def try_imports(recipe: Recipe, path: str) -> None:
    """Try to import a file of the recipe into networks on the meta device.

    Raises:
        CheckpointError: the file is missing, or its weights do not fit.
    """
    for prefix in ("", REVERSE):
        for part, file in named(recipe.teach, prefix).items():
            if file == path:
                require_weights(path)
                task = open_task(recipe, Compute(torch.device("meta")))
                with torch.device("meta"):
                    net = getattr(task, part)()
                try:
                    _import(net, recipe.teach, f"{prefix}{part}")
                except CheckpointError as error:
                    # Channels that the recipe leaves open come from its pictures, which are not prepared yet.
                    if "input channels" not in str(error.got) or "inputs" in getattr(recipe.teach, part):
                        raise


def import_pair(job: Job, gan: Gan, prefix: str = "") -> Gan:
    """Import the networks of a direction that the recipe names, report notes, and record their files.

    Raises:
        CheckpointError: as `imported`.
    """
    for part in named(job.recipe.teach, prefix):
        import_part(job, getattr(gan, part), f"{prefix}{part}")
    return gan


def import_part(job: Job, net: nn.Module, part: str = "generator") -> None:
    """Import one network, such as the `generator` or the `reverse_discriminator`; see `import_pair`."""
    found, file = _import(net, job.recipe.teach, part), _file(job.recipe.teach, part)
    notes = list(found.notes)
    if notes:
        job.say(f"{part} of {file.name}: {'; '.join(notes)}")
    if part.endswith("generator") and (doubt := doubted(job, net, swapped=part.startswith(REVERSE))):
        job.say(f"warning: {doubt}")
        notes.append(doubt)
    facts = {"file": file.name, "sha256": sha256_file(file), "part": found.key, "notes": notes}
    before = read_json(job.out / ORIGIN)
    write_json(job.out / ORIGIN, {**(before if isinstance(before, dict) else {}), part: facts})


def origins(teach: Path) -> Mapping[str, object]:
    """Return the origins of the generators in `teach`'s folder, by `generator` and `reverse_generator`."""
    facts = read_json(teach / ORIGIN)
    return {part: came for part, came in facts.items() if part.endswith("generator")} if isinstance(facts, dict) else {}


@torch.no_grad()
def doubted(job: Job, net: nn.Module, swapped: bool = False) -> str | None:
    """Return a warning if an imported generator seems to be of the other direction, else None.

    A generator should turn inputs into targets. If it turns targets into inputs much better (by `CLEARER` dB PSNR), it
    was probably imported for the wrong direction. It is tried on validation images or, for two sets, on test images
    with partners; without partners, None is returned. For a generator of the reverse direction inputs and targets are
    `swapped`.
    """
    pair = _partners(job.data) if job.task.traits.given == IMAGES else None
    if pair is None or pair.input.shape[1:] != pair.target.shape[1:]:
        return None
    inputs, targets = (pair.target, pair.input) if swapped else pair
    net, training = net.eval(), net.training
    forward, back = (
        float(psnr(net(job.compute.place(given)).float().cpu(), wanted).mean())
        for given, wanted in ((inputs, targets), (targets, inputs))
    )
    net.train(training)
    if not back > forward + CLEARER:
        return None
    other = "BtoA" if job.recipe.data.direction == "AtoB" else "AtoB"
    looked = f"{len(inputs)} image{'s' * (len(inputs) > 1)}"
    return (
        "the imported generator seems to be of the other direction: it turns targets into inputs "
        f"({back:.1f} dB PSNR on {looked}) better than inputs into targets ({forward:.1f} dB); "
        f"if so, set data.direction to {other}"
    )


def _partners(data: Prepared) -> Pair | None:
    """Return a few inputs with their targets, held out of training and not used to choose anything."""
    held = [data.split(name) for name in ("val", "test") if name in data.manifest.splits]
    held = [one for one in held if one.scale == 1]  # smaller and larger pictures cannot be confused
    told = [one for one in held if not one.inputless and (one.coupled or (one.name == "test" and one.paired))]
    return whole(max(told, key=lambda one: min(len(one), LOOKED_AT)), LOOKED_AT) if told else None


def _import(net: nn.Module, options: TeachSection, part: str) -> Found:
    setting = f"teach.{part}_key" + (" (or --key)" if part == "generator" else "")
    return imported(net, str(_file(options, part)), getattr(options, f"{part}_key"), setting)


def _file(options: TeachSection, part: str) -> Path:
    return require_weights(getattr(options, f"{part}_checkpoint"))
