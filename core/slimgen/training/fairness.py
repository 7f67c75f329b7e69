"""Counters that prove, or refute, CF-GAN's Definition 3.1 for a training that has happened."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from slimgen.nets.gates import Arch, pinned


class UpdateCounts:
    """How often each path and operator of the super-generator, and each path of the discriminator, was updated.

    Attributes:
        generator: U_p, by path.
        discriminator: V_p, by path.
        operators: U_{p,l,m}, by path, layer and operator.
    """

    def __init__(self, path: str = "path", layers: str = "operator.") -> None:
        self.path, self.layers = path, layers
        self.generator: Counter[str] = Counter()
        self.discriminator: Counter[str] = Counter()
        self.operators: Counter[tuple[str, str, str]] = Counter()

    def generator_step(self, archs: Iterable[Arch]) -> None:
        """Counts one generator step with the accumulated gradients of these architectures."""
        genotypes = [pinned(arch) for arch in archs]
        self.generator.update({str(genotype[self.path]) for genotype in genotypes})
        for genotype in genotypes:
            path = str(genotype[self.path])
            for name, value in genotype.items():
                if name.startswith(self.layers):
                    self.operators[path, name, str(value)] += 1

    def discriminator_step(self, path: str) -> None:
        """Counts one step of a discriminator's path."""
        self.discriminator[path] += 1

    def violations(self, space: Mapping[str, Any], discriminator: bool = True) -> list[str]:
        """What breaks Definition 3.1, one line each; none if the training was fair.

        Args:
            space: the supernet's space, which says which operators a layer could have had.
            discriminator: whether there is one, and with it the path view.
        """
        found = []
        for path in space[self.path].options:
            if discriminator and self.generator[path] != self.discriminator[path]:
                found.append(f"path {path}: U = {self.generator[path]}, V = {self.discriminator[path]}")
            for layer in (name for name in space if name.startswith(self.layers)):
                counts = {option: self.operators[path, layer, option] for option in space[layer].options}
                if len(set(counts.values())) > 1:
                    found.append(f"path {path}, {layer}: {counts}")
        return found

    def state_dict(self) -> dict[str, Any]:
        """The counts as plain data, for checkpoints."""
        return {
            "generator": dict(self.generator),
            "discriminator": dict(self.discriminator),
            "operators": {"/".join(key): count for key, count in self.operators.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes counts back."""
        self.generator, self.discriminator = Counter(state["generator"]), Counter(state["discriminator"])
        keys = {tuple(key.split("/")): count for key, count in state["operators"].items()}
        self.operators = Counter({(path, layer, option): count for (path, layer, option), count in keys.items()})
