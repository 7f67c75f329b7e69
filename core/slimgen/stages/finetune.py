"""The stage that finishes: the found generator, and what it is compared with."""

from collections.abc import Mapping

from slimgen.files import NETWORKS, weights_file, write_json
from slimgen.methods import open_method
from slimgen.nets.weights import save_weights
from slimgen.stages.work import Work
from slimgen.tasks.task import require_suitable


def finetune(work: Work) -> Mapping[str, float]:
    """The found generator, and its rivals where the recipe asks: weights, and `networks.json` to build them."""
    require_suitable(work.job)
    trained = open_method(work.recipe.method).finetune(work.job)
    networks = {}
    for name, result in trained.items():
        save_weights(work.out / weights_file(name), result.net.state_dict())
        networks[name] = {"family": result.family, "options": dict(result.options), "updates": result.updates}
    write_json(work.out / NETWORKS, networks)
    facts = {name: {"updates": result.updates, **result.facts} for name, result in trained.items()}
    return {f"{name}_{fact}": value for name, noted in facts.items() for fact, value in noted.items()}
