"""The perceptual term looks at real pictures once, however many architectures are compared with them."""

from pathlib import Path

import torch

from slimgen.data.batches import Pair
from slimgen.device import Compute
from slimgen.recipe import Recipe
from slimgen.tasks import open_task
from slimgen.training.fit import Memo

TINY = Recipe.parse((Path(__file__).parents[1] / "stages" / "tiny.yaml").read_text()).override(["losses.perceptual=2"])


def test_features_of_real_pictures_are_computed_once_per_batch() -> None:
    task = open_task(TINY, Compute(torch.device("cpu")))
    discriminator, looked = task.discriminator().eval(), []
    plain = discriminator.features
    discriminator.features = lambda images: looked.append(images) or plain(images)
    (term,) = task.guidance(discriminator).terms
    noise = torch.Generator().manual_seed(0)
    batches = [Pair(*torch.randn(2, 2, 3, 16, 16, generator=noise)) for _ in range(2)]
    fakes = [torch.randn(2, 3, 16, 16, generator=noise, requires_grad=True) for _ in range(4)]
    for batch, fake in zip([batches[0]] * 3 + [batches[1]], fakes, strict=True):
        (value,) = term(batch, fake, Memo(0)).values()
        found, wanted = (plain(torch.cat([batch.input, image], 1)) for image in (fake, batch.target))
        differences = [(one - two).abs().mean() for one, two in zip(found, wanted, strict=True)]
        assert torch.allclose(value, 2 * torch.stack(differences).mean())
        value.backward()
        assert fake.grad is not None
    assert len(looked) == 4 + 2
    assert all(weight.grad is None for weight in discriminator.parameters())
