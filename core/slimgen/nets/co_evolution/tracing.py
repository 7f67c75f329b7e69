"""The channels of a network, followed through one run of it: which of them can only be cut together, and why.

Each tensor of the run carries marks, one number per channel. A layer with weights gives each of its outputs a mark of
its own; what rearranges values (views, concatenation, splitting, transposition) rearranges the marks; where tensors
meet value by value (sums, products, gates) their marks become one; where an operation mixes channels (a norm over
several, a sum over the channels) the marks of those channels become one. What is not known to keep channels apart pins
them: they stay whole, and the reason is kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from slimgen.nets.co_evolution.layers import Convolution, by_groups, channels_of
from slimgen.nets.co_evolution.marks import Marks, broadcast, compact, parted

IMAGES = "is added to the input images"
OUTPUT = "makes the output"
PARAMETER = "is combined with a parameter that belongs to no layer"
CONSTANT = "is combined with values that no layer writes"
BROADCAST = "is combined with every channel of another layer"
RESHAPED = "passes a reshape that mixes its channels with others"
_REARRANGING = {
    *("_unsafe_view", "cat", "stack", "flip", "roll", "repeat", "index_select", "index", "unfold"),
    *("channel_shuffle", "native_channel_shuffle", "constant_pad_nd"),
}
_ALIKE = {"_to_copy", "clone", "zeros_like", "ones_like", "empty_like", "rand_like", "randn_like", "native_dropout"}
_POINTWISE = {"hardswish", "_prelu_kernel", "rrelu_with_noise", "celu", "copy"}
_SPATIAL = {
    *("avg_pool2d", "max_pool2d_with_indices", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "grid_sampler_2d"),
    *("reflection_pad2d", "replication_pad2d", "upsample_nearest2d", "_upsample_nearest_exact2d"),
    *("upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
}
_ALONG = {
    **dict.fromkeys(("mean", "sum", "amax", "amin", "std", "var", "linalg_vector_norm", "norm", "prod"), "sums"),
    **dict.fromkeys(("_softmax", "_log_softmax", "cumsum", "cumprod", "sort"), "compares"),
}
_SAID = {"mm": "a matrix product", "bmm": "a matrix product", "addmm": "a matrix product"}
_SAID |= {"baddbmm": "a matrix product", "native_layer_norm": "a LayerNorm over its channels"}


class Tracing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that follows channels through every operation while it is active.

    Args:
        net: the network that runs; its layers are followed as wholes.

    Attributes:
        marks: the channels and what became of them.
        writes: layer to the marks of its outputs, in order.
        reads: layer to the marks of its inputs, in order.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.marks, self.writes, self.reads = Marks(), dict[str, Tensor](), dict[str, Tensor]()
        self._of: Any = WeakIdKeyDictionary()
        self._inside = 0
        self._owners: dict[int, list[tuple[str, Convolution]]] = {}
        self._layers: list[tuple[str, nn.Module]] = []
        for name, module in net.named_modules():
            if isinstance(module, Convolution):
                self._owners.setdefault(id(module.weight), []).append((name, module))
            if any(channels_of(module)):
                self._layers.append((name, module))

    @torch.no_grad()
    def run(self, net: nn.Module, example: Tensor) -> None:
        """Run a network on images (1, C, H, W), and pin what makes its output."""
        example = example.detach().clone()
        entry = self.marks.fresh(example.shape[1], pinned=IMAGES)
        self._of[example] = entry.reshape(1, -1, *[1] * (example.dim() - 2))
        with self._watching(), self:
            out = net(example)
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and (marks := self._of.get(tensor)) is not None:
                self.marks.pin(marks, OUTPUT)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Follow layers with channels of their own as wholes, whatever they are made of."""
        hooks = []

        def begin(module: nn.Module, given: tuple[Any, ...]) -> None:
            self._inside += 1

        def end(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
            def hook(module: nn.Module, given: tuple[Any, ...], out: Any) -> None:
                marks = self._of.get(given[0]) if given else None
                if marks is not None and isinstance(out, Tensor):
                    self._of[out] = self._through(name, module, marks)
                self._inside -= 1

            return hook

        for name, module in self._layers:
            hooks += [module.register_forward_pre_hook(begin), module.register_forward_hook(end(name))]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _through(self, name: str, module: nn.Module, marks: Tensor) -> Tensor:
        """Return the marks behind a layer."""
        if isinstance(module, Convolution):
            return self._convolved(marks, self._owners[id(module.weight)])
        channel = marks.dim() - 1 if isinstance(module, nn.Linear) else 1
        marks = self.marks.level(marks, [dim for dim in range(marks.dim()) if dim != channel])
        shape, (inputs, outputs) = [-1 if dim == channel else 1 for dim in range(marks.dim())], channels_of(module)
        if isinstance(module, nn.Linear):
            self._read(name, marks.reshape(-1).expand(inputs))
            return self._written(name, torch.arange(outputs)).reshape(shape)
        each = outputs // module.num_groups if isinstance(module, nn.GroupNorm) else 1
        if each == outputs > 1:
            why = f"is normalised over all its channels by {name}, a {type(module).__name__} with one group"
            marks = self.marks.level(marks, [channel], why)
        written = self._written(name, torch.arange(outputs) // each)
        self.marks.join(written, marks.reshape(-1))
        return written.reshape(shape)

    def _written(self, name: str, shares: Tensor) -> Tensor:
        """Return the marks of a layer's outputs; outputs of the same share have the same mark."""
        if name not in self.writes:
            self.writes[name] = self.marks.fresh(int(shares.max()) + 1)[shares]
        return self.writes[name]

    def _read(self, name: str, marks: Tensor) -> None:
        """Take in the marks of a layer's inputs: those of all its calls become one."""
        self.marks.join(self.reads.setdefault(name, marks), marks)

    def _filtered(self, marks: Tensor, args: Sequence[Any]) -> Tensor:
        """Return the marks behind a convolution called as a function."""
        if owners := self._owners.get(id(args[1])):
            return self._convolved(marks, owners)
        outputs, inputs = args[1].shape[0], args[0].shape[1]
        if args[8] != inputs or outputs != inputs:
            self.marks.pin(marks, "is read by a convolution whose weights belong to no layer")
            return self.marks.fresh(1, pinned=CONSTANT).reshape([1] * marks.dim())
        # One kernel for each channel by itself, such as a blur.
        return self.marks.level(marks, [0, *range(2, marks.dim())])

    def _convolved(self, marks: Tensor, owners: Sequence[tuple[str, Convolution]]) -> Tensor:
        """Return the marks behind a convolution; grouped ones are cut by whole groups, or alike in each group."""
        rest = [0, *range(2, marks.dim())]
        marks = self.marks.level(marks, rest).reshape(-1)
        layer = owners[0][1]
        groups = layer.groups
        inputs, outputs = layer.in_channels // groups, layer.out_channels // groups
        marks = marks.expand(layer.in_channels)
        places = torch.arange(layer.out_channels)
        shares = places if groups == 1 else places // outputs if by_groups(layer) else places % outputs
        written = self._written(owners[0][0], shares)
        if groups > 1 and by_groups(layer):
            marks = self.marks.level(marks.reshape(groups, inputs), [1])
            self.marks.join(marks, written.reshape(groups, outputs))
            marks = marks.expand(groups, inputs).reshape(-1)
        elif groups > 1:
            marks = self.marks.level(marks.reshape(groups, inputs), [0]).expand(groups, inputs).reshape(-1)
        for name, _ in owners:
            self.writes[name] = written
            self._read(name, marks)
        return written.reshape(1, -1, *[1] * (len(rest) - 1))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and give its outputs their marks."""
        out = func(*args, **(kwargs or {}))
        given = [tensor for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)]
        if self._inside or not any(tensor in self._of for tensor in given):
            return out
        made = [tensor for tensor in tree_leaves(out) if isinstance(tensor, Tensor)]
        for tensor, marks in zip(made, self._after(func, args, kwargs or {}, given, made), strict=True):
            self._of[tensor] = compact(marks)
        return out

    def _after(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], given: list[Tensor], made: list[Tensor]
    ) -> list[Tensor]:
        """Return the marks of an operation's outputs."""
        name, first = func.overloadpacket.__name__.rstrip("_"), self._of.get(args[0]) if _known(args) else None
        if name == "convolution" and first is not None:
            return [self._filtered(first, args)]
        if name in _ALIKE and first is not None and len(given) == 1:
            return [first] * len(made)
        if torch.Tag.pointwise in func.tags or name in _POINTWISE:
            return [self._met(given, tensor) for tensor in made]
        spatial = name in _SPATIAL or (name == "constant_pad_nd" and len(args[1]) <= 4)
        if spatial and first is not None:
            return [self.marks.level(first, (-2, -1))] * len(made)
        if "batch_norm" in name and first is not None:  # called as a function, as is instance_norm
            for tensor in given[1:]:
                self.marks.pin(first, PARAMETER if isinstance(tensor, nn.Parameter) else CONSTANT)
            first = self.marks.level(first, [dim for dim in range(first.dim()) if dim != 1])
            return [first if tensor.dim() == first.dim() else first.reshape(-1)[: len(tensor)] for tensor in made]
        if name in ("pixel_shuffle", "pixel_unshuffle") and first is not None:
            return [self._shuffled(first, args[1], name)]
        if func.is_view or name in _REARRANGING:
            return self._rearranged(func, name, args, kwargs, made)
        if name in _ALONG and first is not None:
            return [self._along(func, args, kwargs, first, f"passes an operation that {_ALONG[name]} its channels")]
        why = f"passes {_SAID.get(name, f'the operation {name}')}"
        for tensor in given:
            if (marks := self._of.get(tensor)) is not None:
                self.marks.pin(marks, why)
        return [self.marks.fresh(1, pinned=CONSTANT).reshape([1] * tensor.dim()) for tensor in made]

    def _met(self, given: Sequence[Tensor], out: Tensor) -> Tensor:
        """Return the marks of tensors combined value by value: at each place they become one."""
        size, marked, plain = out.dim(), list[tuple[Tensor, Tensor]](), list[Tensor]()
        for tensor in given:
            aligned = tensor.reshape([1] * (size - tensor.dim()) + list(tensor.shape))
            if (marks := self._of.get(tensor)) is None:
                plain.append(tensor)
            else:
                marked.append((aligned, marks.reshape([1] * (size - marks.dim()) + list(marks.shape))))
        vary = [dim for dim in range(size) if any(marks.shape[dim] > 1 for _, marks in marked)]

        def narrow(tensor: Tensor) -> bool:
            return any(tensor.shape[dim] == 1 < out.shape[dim] for dim in vary)

        for tensor, marks in marked:
            if narrow(tensor):
                self.marks.pin(marks, BROADCAST)
        together = [marks for tensor, marks in marked if not narrow(tensor)]
        if not together:
            for _, marks in marked:
                self.marks.pin(marks, BROADCAST)
            return self.marks.fresh(1, pinned=BROADCAST).reshape([1] * size)
        for tensor in plain:
            aligned_shape = [1] * (size - tensor.dim()) + list(tensor.shape)
            if any(aligned_shape[dim] > 1 for dim in vary):
                for marks in together:
                    self.marks.pin(marks, PARAMETER if isinstance(tensor, nn.Parameter) else CONSTANT)
        found = together[0]
        for marks in together[1:]:
            self.marks.join(found, marks)
            found = broadcast(found, marks)[0]
        return found

    def _shuffled(self, marks: Tensor, times: int, name: str) -> Tensor:
        """Return the marks behind PixelShuffle, where r x r neighbouring filters are one channel, or its inverse."""
        marks = self.marks.level(marks, (-2, -1))
        if name == "pixel_unshuffle":
            return marks.repeat_interleave(times * times, -3)
        if marks.shape[-3] == 1:
            return marks
        squares = parted(marks, -3, marks.shape[-3] // times**2)
        return self.marks.level(squares, [-3]).squeeze(-3)

    def _rearranged(
        self, func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], made: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return the marks of rearranged tensors: the marks rearranged in the same way."""

        def full(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return type(value)(full(each) for each in value)
            if not isinstance(value, Tensor) or (value not in self._of and name in ("index", "index_select")):
                return value  # also the places that an index names
            marks = self._of.get(value)
            if marks is None:
                marks = self.marks.fresh(1, pinned=CONSTANT).reshape([1] * value.dim())
            return marks.expand(value.shape)

        if name in ("view", "_unsafe_view"):
            return [full(args[0]).reshape(made[0].shape)]
        if name == "constant_pad_nd":
            blank = int(self.marks.fresh(1, pinned=CONSTANT))
            return [torch.constant_pad_nd(full(args[0]), args[1], blank)]
        if name in ("channel_shuffle", "native_channel_shuffle"):
            # The code's number of groups stays, so each group keeps as many.
            every = compact(full(args[0])).expand(-1, made[0].shape[1], -1, -1)
            self.marks.level(parted(every, 1, args[1]), [1])
        out = [marks for marks in tree_leaves(func(*full(args), **kwargs)) if isinstance(marks, Tensor)]
        if name == "split" and len({marks.shape for marks in out}) == 1:
            # `chunk` cuts a smaller tensor into equal parts again, so each part keeps as many.
            for marks in out[1:]:
                self.marks.join(compact(out[0]), compact(marks))
        return out

    def _along(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], marks: Tensor, why: str) -> Tensor:
        """Return the marks after a reduction, or another operation, along dimensions."""
        named = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | dict(kwargs)
        dims = named.get("dim", named.get("dims"))
        dims = list(range(marks.dim())) if dims in (None, []) else [dims] if isinstance(dims, int) else list(dims)
        levelled = self.marks.level(marks, dims, why)
        if func.overloadpacket.__name__ in ("_softmax", "_log_softmax", "cumsum", "cumprod", "sort"):
            return levelled
        gone = {dim % marks.dim() for dim in dims}
        if named.get("keepdim", False):
            return levelled
        return levelled.reshape([side for dim, side in enumerate(levelled.shape) if dim not in gone])


def _known(args: Sequence[Any]) -> bool:
    return bool(args) and isinstance(args[0], Tensor)
