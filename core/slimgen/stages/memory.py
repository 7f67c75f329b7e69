"""Lower bound of the memory that training the original takes, estimated before it begins."""

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from slimgen.device import available_memory
from slimgen.nets import build_generator, generator_cost, noise_length
from slimgen.recipe import Recipe
from slimgen.shortage import ShortageError, in_words
from slimgen.tasks import traits_of
from slimgen.training.distributed import world

WORTH_A_LINE = 4 * 10**9
"""Estimate, in bytes, from which a line is printed."""
_A_PARAMETER = 16
"""Bytes per parameter in training: the weight, its gradient, and Adam's two averages, as float32."""
_A_MAC = 0.2
"""Bytes kept for each MAC of a forward pass, several times as many as convolutional networks keep."""


def foresee(recipe: Recipe, smaller: str, available: int | None = None) -> str:
    """Return a line about the memory that teaching takes, if that is much; else an empty one.

    Args:
        recipe: the recipe with the `teach` section.
        smaller: the settings to lower, for the message.
        available: bytes; by default those of the device that training uses.

    Raises:
        ShortageError: the lower bound is more than is available.
    """
    if recipe.teach.generator_checkpoint is not None or at_least(recipe, rough=True) < WORTH_A_LINE:
        return ""
    least, which = at_least(recipe), "GPU" if _on_gpu(recipe) else "host"
    available = available_memory(which == "GPU") if available is None else available
    if available is None or least < WORTH_A_LINE:
        return ""
    told = f"at least {in_words(least)} for weights, optimizer and a batch of {recipe.teach.batch}"
    if least > available:
        raise ShortageError("teach needs more memory than there is", f"{told}, and {in_words(available)} free", smaller)
    return f"teach takes {told}; the {which} has {in_words(available)} free"


def at_least(recipe: Recipe, rough: bool = False) -> float:
    """Return a lower bound, in bytes, of what training the original takes in one process.

    It counts the weights of the generators with their gradients and Adam's averages, and the activations that a forward
    pass of one batch keeps; not the discriminators, the images and the convolutions' workspace. A `rough` one is not a
    bound, but a guess that is several times too large and takes no time.
    """
    about, teach = recipe.teach.generator, recipe.teach
    cost, batch = generator_cost(**recipe.size._asdict(), **about), -(-teach.batch // world()[1])
    kept = _A_MAC * cost.exact if rough else _kept(recipe)
    low = 1 if rough or recipe.compute.precision == "fp32" else 0.5  # under autocast, activations may be bfloat16
    return float(traits_of(recipe).directions * (_A_PARAMETER * cost.params + batch * low * kept))


def _kept(recipe: Recipe) -> float:
    """Return the bytes that the generator's forward pass keeps per image; 0 if they cannot be counted.

    The network and the images are on torch's meta device: they have shapes and types, and take no memory.
    """
    about, found = recipe.teach.generator, dict[int, int]()
    length = noise_length(**about)
    given = (length,) if length is not None else (recipe.channels.given, *recipe.size)

    def pack(value: Tensor) -> Tensor:
        if not isinstance(value, nn.Parameter):
            storage = value.untyped_storage()
            found[storage._cdata] = storage.nbytes()
            held.append(value)  # else another tensor might get its address
        return value

    held: list[Tensor] = []
    try:
        with torch.device("meta"), saved_tensors_hooks(pack, lambda value: value):
            build_generator(**about).train()(torch.empty(2, *given))  # two images, because BatchNorm needs them
    except Exception:  # a user's network may need values
        return 0.0
    return sum(found.values()) / 2


def _on_gpu(recipe: Recipe) -> bool:
    return recipe.compute.device != "cpu" and torch.cuda.is_available()
