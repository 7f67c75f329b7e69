"""What every task offers to stages and methods."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from slimgen.cost.formula import Cost
from slimgen.data.batches import Pair
from slimgen.data.prepared import Prepared
from slimgen.recipe import Schedule
from slimgen.tasks.guidance import After, Generate, Guidance, Judge, Truth
from slimgen.training.fit import Phase
from slimgen.training.pool import ImagePool

if TYPE_CHECKING:
    from slimgen.tasks.job import Job


class Task(Protocol):
    """What a generator is for: its networks, its data and its losses. See `slimgen.tasks.translation`."""

    judged: int
    """Channels that a discriminator takes."""

    def generator(self) -> nn.Module:
        """The original generator, initialised from the recipe's seed."""

    def discriminator(self) -> nn.Module:
        """The original discriminator, likewise."""

    def original_cost(self) -> Cost:
        """What the original generator costs on one image, in closed form."""

    def teach(self, job: "Job") -> Mapping[str, float]:
        """Trains or imports the original; what is worth noting of it."""

    def train_original(
        self,
        job: "Job",
        name: str,
        generator: nn.Module,
        discriminator: nn.Module,
        schedule: Schedule,
        steps: int,
        *,
        ema: float | None = None,
    ) -> nn.Module:
        """Trains a pair in place as an original, from the data alone; the generator, or its average."""

    def condition(self, inputs: Tensor) -> Tensor:
        """What a generator is shown of prepared inputs, on their device."""

    def picture(self, inputs: Tensor) -> Tensor:
        """Prepared inputs as pictures, for people."""

    def batches(self, data: Prepared, schedule: Schedule, hold: int = 1) -> dict[str, Callable[[int], Pair]]:
        """Split to a function from step to batch."""

    def pool(self) -> ImagePool:
        """The history of what the discriminator was shown."""

    def shown(self, condition: Tensor, image: Tensor) -> Tensor:
        """What the discriminator sees of an image."""

    def rivalry(self, discriminator: nn.Module) -> tuple[Judge, Guidance]:
        """How a discriminator is asked, and what a generator learns of it besides its scores."""

    def truth(self, teach: Path) -> Truth | None:
        """What a compressed generator should make of a batch, where not its targets, given the original's folder."""

    def validation(self, job: "Job") -> Pair:
        """The images on which candidates are measured, and what they are compared with."""

    def guidance(self, discriminator: nn.Module | None) -> Guidance:
        """The task's own further terms, given the original's discriminator."""

    def phases(
        self,
        generate: Generate,
        judge: Judge,
        generator_groups: Sequence[Mapping[str, Any]],
        discriminator_groups: Sequence[Mapping[str, Any]],
        schedule: Schedule,
        steps: int,
        *,
        pool: ImagePool,
        guidance: Guidance | None = None,
        generator_steps: int = 1,
        after_generator: After | None = None,
        after_discriminator: After | None = None,
    ) -> list[Phase]:
        """The phases that train one generator, or one supernet, against one discriminator."""
