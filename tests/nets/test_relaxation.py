import copy
import math

import pytest
import torch
from torch import Tensor

from slimgen.errors import RecipeError
from slimgen.nets.relaxation import Kind, Relaxation, Temperature
from slimgen.nets.supernet import Gates, branches, mixed
from slimgen.search import Choice, Mask, Space

SPACE = Space({"cell.first": Choice(("a", "b", "c")), "cell.second": Choice(("a", "b")), "width": Choice((8,))})
GUMBEL: tuple[Kind, ...] = ("gumbel", "straight-through", "sampled")


def with_logits(kind: Kind, first: list[float], second: list[float]) -> Relaxation:
    relaxation = Relaxation(SPACE, seed=0, kind=kind)
    with torch.no_grad():
        relaxation.logits("cell.first").copy_(torch.tensor(first))
        relaxation.logits("cell.second").copy_(torch.tensor(second))
    return relaxation


def test_gates_are_the_softmax_of_the_logits_and_the_largest_are_the_genotype() -> None:
    relaxation = with_logits("softmax", [0.0, math.log(2), 0.0], [math.log(3), 0.0])
    gates = relaxation.gates(0)
    assert torch.allclose(gates.probabilities["cell.first"], torch.tensor([0.25, 0.5, 0.25]))
    assert torch.allclose(gates.probabilities["cell.second"], torch.tensor([0.75, 0.25]))
    assert dict(relaxation.argmax()) == {"cell.first": "b", "cell.second": "a", "width": 8}
    assert torch.allclose(relaxation.probabilities()["cell.first"], torch.tensor([0.25, 0.5, 0.25]))


def test_a_choice_of_one_option_is_not_mixed() -> None:
    relaxation = Relaxation(SPACE, seed=0)
    assert sorted(relaxation.entropy()) == ["cell.first", "cell.second"]
    assert branches(relaxation.gates(0), "width") == [(8, None)]


def test_entropies_are_the_logarithm_of_the_options_when_undecided_and_zero_when_decided() -> None:
    entropy = with_logits("softmax", [0.0, 0.0, 0.0], [0.0, -200.0]).entropy()
    assert entropy["cell.first"] == pytest.approx(math.log(3), abs=1e-6)
    assert entropy["cell.second"] == pytest.approx(0.0, abs=1e-6)
    quarter = with_logits("softmax", [0.0] * 3, [math.log(3), 0.0]).entropy()["cell.second"]
    assert quarter == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), abs=1e-6)


def test_the_first_logits_are_of_the_seed_alone() -> None:
    torch.manual_seed(5)
    one = Relaxation(SPACE, seed=3, spread=0.5).state_dict()
    torch.manual_seed(6)
    same, other = Relaxation(SPACE, seed=3, spread=0.5).state_dict(), Relaxation(SPACE, seed=4).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    assert all(not value.any() for value in Relaxation(SPACE, seed=3, spread=0.0).state_dict().values())


def test_logits_are_in_the_state_dict() -> None:
    trained = with_logits("softmax", [1.0, 2.0, 3.0], [4.0, 5.0])
    fresh = Relaxation(SPACE, seed=9)
    assert fresh.load_state_dict(trained.state_dict()).missing_keys == []
    assert fresh.argmax() == trained.argmax()
    assert torch.equal(fresh.logits("cell.first"), trained.logits("cell.first"))
    assert len(list(trained.parameters())) == 2


def test_a_copy_moves_without_its_original() -> None:
    relaxation = with_logits("softmax", [1.0, 2.0, 3.0], [4.0, 5.0])
    twin = copy.deepcopy(relaxation)
    with torch.no_grad():
        twin.logits("cell.first").neg_()
    assert relaxation.argmax()["cell.first"] == "c"
    assert twin.argmax()["cell.first"] == "a"


@pytest.mark.parametrize("kind", GUMBEL)
def test_equal_global_seeds_draw_equal_gates(kind: Kind) -> None:
    relaxation = Relaxation(SPACE, seed=0, kind=kind)

    def drawn(seed: int) -> Gates:
        torch.manual_seed(seed)
        return relaxation.gates(0)

    one, same = drawn(1), drawn(1)
    assert all(torch.equal(one.probabilities[name], same.probabilities[name]) for name in one.options)
    assert one.at == same.at
    firsts = {tuple(drawn(seed).probabilities["cell.first"].tolist()) for seed in range(20)}
    assert len(firsts) > 1


def test_gumbels_largest_gate_is_drawn_in_proportion_to_the_probabilities() -> None:
    relaxation = with_logits("straight-through", [math.log(1), math.log(2), math.log(5)], [0.0, 0.0])
    torch.manual_seed(0)
    total = torch.stack([relaxation.detached(0).probabilities["cell.first"] for _ in range(2000)]).mean(0)
    # Three standard deviations of a share of 2,000 draws are below 0.034.
    assert torch.allclose(total, torch.tensor([0.125, 0.25, 0.625]), atol=0.034)


def gradient(kind: Kind) -> tuple[Tensor, Tensor]:
    """Gates of the first choice, and the gradient of a linear function of them."""
    relaxation = with_logits(kind, [0.3, -0.2, 0.9], [0.0, 0.0])
    torch.manual_seed(7)
    gates = relaxation.gates(0).probabilities["cell.first"]
    (gates * torch.tensor([1.0, -2.0, 4.0])).sum().backward()
    found = relaxation.logits("cell.first").grad
    assert found is not None
    return gates.detach(), found


def test_straight_through_is_one_hot_going_forward_and_soft_going_back() -> None:
    soft, soft_gradient = gradient("gumbel")
    hard, hard_gradient = gradient("straight-through")
    assert torch.equal(hard, torch.nn.functional.one_hot(soft.argmax(), 3).float())
    assert torch.equal(soft_gradient, hard_gradient)
    assert hard_gradient.abs().sum() > 0


def test_sampled_gates_run_one_branch_whose_weight_carries_the_gradient() -> None:
    relaxation = with_logits("sampled", [0.3, -0.2, 0.9], [0.0, 0.0])
    torch.manual_seed(7)
    gates = relaxation.gates(0)
    ran: list[object] = []

    def run(option: object) -> Tensor:
        ran.append(option)
        return torch.tensor(2.0)

    out = mixed(gates, "cell.first", run)
    assert ran == [gates.at["cell.first"]]
    assert out.item() == 2.0
    out.backward()
    found = relaxation.logits("cell.first").grad
    assert found is not None
    # d(2 p_k)/d logits = 2 p_k (one_hot_k - p): positive for the branch that ran, and in all zero.
    assert found[relaxation.options["cell.first"].index(gates.at["cell.first"])] > 0
    assert found.sum().item() == pytest.approx(0.0, abs=1e-6)


def test_the_temperature_falls_by_equal_ratios_and_then_stays() -> None:
    falling = Temperature(5.0, 0.1, 100)
    assert falling(0) == 5.0
    assert falling(50) == pytest.approx(math.sqrt(5.0 * 0.1))
    assert falling(100) == pytest.approx(0.1)
    assert falling(1000) == pytest.approx(0.1)


def test_a_low_temperature_makes_gates_one_hot() -> None:
    relaxation = Relaxation(SPACE, seed=0, kind="gumbel", temperature=Temperature(100.0, 1e-3, 1))
    torch.manual_seed(0)
    hot, cold = relaxation.detached(0).probabilities["cell.first"], relaxation.detached(1).probabilities["cell.first"]
    assert hot.max() < 0.5
    assert cold.max() > 0.999


def test_constant_gates_have_no_graph() -> None:
    relaxation = Relaxation(SPACE, seed=0)
    assert relaxation.gates(0).probabilities["cell.first"].requires_grad
    assert not relaxation.detached(0).probabilities["cell.first"].requires_grad
    (drawn,) = relaxation.draw(0)
    assert drawn.probabilities["cell.first"].requires_grad


def test_invalid_relaxations_are_refused() -> None:
    with pytest.raises(RecipeError, match="only choices can be relaxed"):
        Relaxation(Space({"mask": Mask(4)}), seed=0)
    with pytest.raises(RecipeError, match="no temperature"):
        Relaxation(SPACE, seed=0, temperature=Temperature(5, 0.1, 10))
    with pytest.raises(RecipeError, match="no kind of relaxation is called"):
        Relaxation(SPACE, seed=0, kind="hard")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="above 0"):
        Temperature(5, 0, 10)
