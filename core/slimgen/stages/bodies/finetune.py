"""Training of the found generator and its rivals."""

from collections.abc import Mapping

from slimgen import files
from slimgen.methods import open_method
from slimgen.methods.effort import Effort
from slimgen.nets.weights import save_weights
from slimgen.stages.work import Work
from slimgen.tasks.task import require_suitable


def finetune(work: Work) -> Mapping[str, float]:
    """Train the found generator and the recipe's rivals; write weights, and `networks.json` to build them."""
    require_suitable(work.job)
    networks: dict[str, object] = {}
    facts: dict[str, float] = {}
    for name, result in open_method(work.recipe.method).finetune(work.job).items():
        save_weights(work.out / files.weights_file(name), result.net.state_dict())
        effort = result.effort or Effort(updates=result.updates)
        about = {"family": result.family, "options": dict(result.options), "updates": result.updates}
        networks[name] = {**about, "effort": effort.facts()}
        facts |= {f"{name}_{fact}": value for fact, value in {"updates": result.updates, **result.facts}.items()}
    files.write_json(work.out / files.NETWORKS, networks)
    return facts
