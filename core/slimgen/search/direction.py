"""Directional mutation (CF-GAN, A.5, Eqs. 14 to 16): options that helped before are tried more often."""

import math
from dataclasses import dataclass

from slimgen.errors import RecipeError
from slimgen.search.dimension import Choice
from slimgen.search.genotype import Genotype, Value
from slimgen.search.space import Space


@dataclass(frozen=True, slots=True)
class DirectionalMutation:
    """How strongly replacement gains direct the mutation.

    Attributes:
        epsilon: the chance that the option of smallest gain keeps, as a fraction of the spread of the gains of its
            dimension. Large values lead back to uniform mutation.

    Raises:
        RecipeError: an epsilon that is not positive.
    """

    epsilon: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < math.inf:
            raise RecipeError("the epsilon of directional mutation is positive", self.epsilon)


class ReplacementGains:
    """What replacing a dimension's option has gained, and the probabilities of mutation that follow.

    RG(c, l) is the fitness after dimension l is replaced by option c minus the fitness before (Eq. 14), on a scale
    whose zero is the incumbent's option. It is measured by single replacements of the incumbent. From then on every
    mutant's gain over its parent is shared equally among the dimensions that were replaced and enters the mean of
    (its share + the present gain of the option that was replaced): without that second term, a gain over a poor option
    would outweigh the same option's loss against a good one.

    Args:
        space: whose dimensions are mutated.
        incumbent: the genotype that the gains are measured from.
        direction: the strength.
    """

    def __init__(self, space: Space, incumbent: Genotype, direction: DirectionalMutation) -> None:
        self.space = space
        self.direction = direction
        self._gains: dict[str, dict[Value, tuple[float, int]]] = {
            name: {incumbent[name]: (0.0, 1)} for name in space.active(incumbent)
        }

    def gain(self, name: str, option: Value) -> float | None:
        """The mean replacement gain of an option; None if it was never measured."""
        known = self._gains.get(name, {}).get(option)
        return None if known is None else known[0]

    def credit(self, parent: Genotype, child: Genotype, gain: float) -> None:
        """Enters what a child's fitness is above its parent's.

        Dimensions that exist in only one of the two changed as a consequence, and get no share. A child without a
        finite fitness (gain -inf) counts as bad as the worst known option of each dimension; a parent without one
        teaches nothing.
        """
        if math.isnan(gain) or gain == math.inf:
            return
        both = self.space.active(parent) & self.space.active(child)
        replaced = [name for name in self.space if name in both and parent[name] != child[name]]
        for name in replaced:
            if not isinstance(self.space[name], Choice):
                continue
            known = self._gains.setdefault(name, {parent[name]: (0.0, 1)})
            seen = min(mean for mean, _ in known.values())
            if math.isfinite(gain):
                seen = gain / len(replaced) + known.get(parent[name], (0.0, 0))[0]  # Eq. 14, against the incumbent
            mean, count = known.get(child[name], (0.0, 0))
            known[child[name]] = (mean + (seen - mean) / (count + 1), count + 1)

    def probabilities(self, name: str, genotype: Genotype) -> list[float]:
        """The probability of each option of a choice (Eqs. 15 and 16), in the order of its options.

        Eq. 15 as printed subtracts (min + epsilon), which would make the smallest gain negative; read as
        RG - min + epsilon, every option keeps a chance. Options that were never measured take the mean of the others.
        """
        dimension = self.space[name]
        assert isinstance(dimension, Choice)
        known = self._gains.get(name, {})
        means = [known[option][0] for option in dimension.options if option in known]
        average = sum(means) / len(means) if means else 0.0
        gains = [known[option][0] if option in known else average for option in dimension.options]
        spread = max(gains) - min(gains)
        if spread <= 0:
            return [1 / len(gains)] * len(gains)
        normalised = [gain - min(gains) + self.direction.epsilon * spread for gain in gains]  # Eq. 15
        total = sum(normalised)
        return [value / total for value in normalised]  # Eq. 16
