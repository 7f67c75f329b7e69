import torch
from torch import Tensor, nn

from slimgen.nets.supernet import Gates, branches, mixed
from slimgen.search import Choice, Genotype, Space
from slimgen.search.genotype import Value

SPACE = Space({"edge": Choice(("one", "two", "three"))})


class Edge(nn.Module):
    """Three branches with everything that a second computation could disturb: running statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.options = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Dropout(0.5))
                for name in ("one", "two", "three")
            }
        )
        for option in self.options.values():
            nn.utils.parametrizations.spectral_norm(option[0])

    def forward(self, images: Tensor, gates: Gates, recompute: bool) -> Tensor:
        def run(option: Value) -> Tensor:
            out: Tensor = self.options[str(option)](images)
            return out

        return mixed(gates, "edge", run, recompute, module=lambda option: self.options[str(option)])


def trained(recompute: bool) -> tuple[dict[str, Tensor], list[Tensor]]:
    """State and gradients after two passes forward and two back."""
    torch.manual_seed(0)
    edge, logits = Edge(), torch.randn(3, requires_grad=True)
    images = torch.randn(4, 2, 5, 5, requires_grad=True)
    loss = torch.zeros(())
    for _ in range(2):
        gates = Gates(Genotype({"edge": "one"}), {"edge": ("one", "two", "three")}, {"edge": logits.softmax(0)})
        loss = loss + (edge(images, gates, recompute) ** 2).sum()
    loss.backward()
    gradients = [images.grad, logits.grad, *(parameter.grad for parameter in edge.parameters())]
    return {name: value.detach().clone() for name, value in edge.state_dict().items()}, gradients


def test_recomputed_branches_have_the_same_gradients_and_leave_the_same_buffers() -> None:
    kept, kept_gradients = trained(recompute=False)
    again, again_gradients = trained(recompute=True)
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    assert len(kept_gradients) == len(again_gradients)
    for one, other in zip(kept_gradients, again_gradients, strict=True):
        assert torch.equal(one, other)
        assert one.abs().sum() > 0


def test_recomputed_branches_keep_less_for_the_backward_pass() -> None:
    def kept(recompute: bool) -> int:
        sizes: list[int] = []
        edge, images = Edge(), torch.randn(4, 2, 16, 16, requires_grad=True)
        gates = Gates.uniform(SPACE, SPACE.largest(), "edge")
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            edge(images, gates, recompute)
        return sum(size for size in sizes if size >= images.numel())

    assert kept(recompute=False) > 0
    assert kept(recompute=True) == 0


def test_a_corner_of_the_gates_is_its_genotype() -> None:
    edge = Edge().eval()
    images = torch.randn(1, 2, 4, 4)
    for option in ("one", "two", "three"):
        corner = Gates.corner(SPACE, Genotype({"edge": option}))
        assert torch.equal(edge(images, corner, False), edge.options[option](images))


def test_a_mixture_is_the_weighted_sum_of_its_options() -> None:
    gates = Gates(Genotype({"edge": "one"}), {"edge": ("one", "two")}, {"edge": torch.tensor([0.25, 0.75])})
    values = {"one": torch.tensor(4.0), "two": torch.tensor(8.0)}
    assert mixed(gates, "edge", lambda option: values[str(option)]) == 7.0
    assert mixed(gates.at, "edge", lambda option: values[str(option)]) == 4.0


def test_options_that_are_not_drawn_are_not_computed() -> None:
    probabilities = {"edge": torch.tensor([0.0, 1.0])}
    gates = Gates(Genotype({"edge": "two"}), {"edge": ("one", "two")}, probabilities, {"edge": 1})
    assert [option for option, _ in branches(gates, "edge")] == ["two"]
    ran: list[Value] = []

    def run(option: Value) -> Tensor:
        ran.append(option)
        return torch.ones(1)

    mixed(gates, "edge", run)
    assert ran == ["two"]
