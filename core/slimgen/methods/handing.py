"""Weights of a winner that the search trained to the end, handed over so that `finetune` need not train it again."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from slimgen.files import TRAINED, weights_file
from slimgen.nets.weights import load_weights, save_weights
from slimgen.run.record import read_record, versions
from slimgen.search import Genotype
from slimgen.tasks.task import Job
from slimgen.training.distributed import several

_OF_SEARCH = ("budget", "objective", "search", "evaluate")  # sections that choose, and do not train
_KEPT = "trained-"


def keep(job: Job, genotype: Genotype, nets: Sequence[nn.Module]) -> None:
    """Keep the weights of a candidate that was trained to the end, until the winner is known.

    Several processes keep none: they train a candidate each, but fine-tune together, with different rounding.
    """
    if not several():
        state = {f"{number}.{name}": each for number, net in enumerate(nets) for name, each in net.state_dict().items()}
        save_weights(job.out / weights_file(f"{_KEPT}{genotype.key}"), state)


def settle(job: Job, winner: Genotype) -> None:
    """Leave the winner's weights, if they were kept, for `finetune`, and delete all others."""
    kept = job.out / weights_file(f"{_KEPT}{winner.key}")
    if kept.is_file():
        kept.replace(job.out / TRAINED)
    for other in job.out.glob(weights_file(f"{_KEPT}*")):
        other.unlink()


def handed_over(job: Job, nets: Sequence[nn.Module]) -> bool:
    """Load the weights that the search left, if it trained these networks exactly as this job would.

    That is with the same settings, inputs and versions, and in one process. Returns whether the weights were loaded.
    """
    file = job.inputs["search"] / TRAINED
    if not file.is_file() or several() or not _alike(job):
        return False
    state = load_weights(file)
    for number, net in enumerate(nets):
        net.load_state_dict(_under(state, f"{number}."))
        net.eval()
    job.tell("found, already trained by the search", 1, 1, {})
    return True


def _under(state: Mapping[str, object], start: str) -> dict[str, object]:
    return {name.removeprefix(start): each for name, each in state.items() if name.startswith(start)}


def _alike(job: Job) -> bool:
    """Return whether the search had the same inputs, versions and settings, as far as these decide a training."""
    record, recipe = read_record(job.inputs["search"]), job.recipe.model_dump(mode="json")
    for name, value in record.get("settings", {}).items():
        part, _, key = name.partition(".")
        now = recipe[part][key] if key else recipe[part]
        if part not in _OF_SEARCH and not (value == now if part == "supernet" else _same(value, now)):
            return False
    inputs = {name: _digest(job.inputs[name]) for name in record.get("inputs", {})}
    return inputs == record.get("inputs") and record.get("versions") == versions()


def _same(kept: object, now: object) -> bool:
    """Return whether a setting is the recorded one; a recorded section may lack keys that decide no result."""
    if isinstance(kept, Mapping) and isinstance(now, Mapping) and set(kept) < set(now):
        now = {name: now[name] for name in kept}
    return kept == now


def _digest(folder: Path) -> str:
    return read_record(folder).get("digest", "")
