"""The weights of a winner that the search trained to its end, handed to the fine-tuning that would train them again."""

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
    """Keep the weights of a candidate that was trained to its end, until it is known which one wins.

    Not of several processes: they train one candidate each, and fine-tuning together, which rounds otherwise.
    """
    if not several():
        state = {f"{number}.{name}": each for number, net in enumerate(nets) for name, each in net.state_dict().items()}
        save_weights(job.out / weights_file(f"{_KEPT}{genotype.key}"), state)


def settle(job: Job, winner: Genotype) -> None:
    """Leave the weights of the winner, if they were kept, and drops all others."""
    kept = job.out / weights_file(f"{_KEPT}{winner.key}")
    if kept.is_file():
        kept.replace(job.out / TRAINED)
    for other in job.out.glob(weights_file(f"{_KEPT}*")):
        other.unlink()


def handed_over(job: Job, nets: Sequence[nn.Module]) -> bool:
    """Take over the weights that the search left, if it trained these networks as this very job would.

    That is by the same settings, on the same inputs, with the same versions and one process; whether it did.
    """
    file = job.inputs["search"] / TRAINED
    if not file.is_file() or several() or not _alike(job):
        return False
    state = load_weights(file)
    for number, net in enumerate(nets):
        net.load_state_dict(_under(state, f"{number}."))
        net.eval()
    job.tell("found, as the search trained it", 1, 1, {})
    return True


def _under(state: Mapping[str, object], start: str) -> dict[str, object]:
    return {name.removeprefix(start): each for name, each in state.items() if name.startswith(start)}


def _alike(job: Job) -> bool:
    """Return whether the search was of the same settings, as far as they decide trainings, and of the same inputs."""
    record, recipe = read_record(job.inputs["search"]), job.recipe.model_dump(mode="json")
    for name, value in record.get("settings", {}).items():
        part, _, key = name.partition(".")
        now = recipe[part][key] if key else recipe[part]
        if part not in _OF_SEARCH and not (value == now if part == "supernet" else _same(value, now)):
            return False
    inputs = {name: _digest(job.inputs[name]) for name in record.get("inputs", {})}
    return inputs == record.get("inputs") and record.get("versions") == versions()


def _same(kept: object, now: object) -> bool:
    """Whether a setting is as it was kept; of a section that has every key, those that decide nothing were left out."""
    if isinstance(kept, Mapping) and isinstance(now, Mapping) and set(kept) < set(now):
        now = {name: now[name] for name in kept}
    return kept == now


def _digest(folder: Path) -> str:
    return read_record(folder).get("digest", "")
