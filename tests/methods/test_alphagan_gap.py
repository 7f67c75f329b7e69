"""AlphaGAN's duality gap: its value, which parameters learn of it, and the supernet at its corners."""

from pathlib import Path

import pytest
import torch

from slimgen.methods.alphagan.players import Players, adv, gap, value_of
from slimgen.nets.alphagan.description import PUBLISHED, SPACE
from slimgen.nets.supernet import Gates
from slimgen.training.losses import adversarial
from tests.methods.alphagan_runs import Searching, run_until

HINGE, SCORES = value_of(adversarial("hinge")), value_of(adversarial("hinge"), scores=True)


@pytest.fixture(scope="module")
def tiny_run(untracked, tmp_path_factory) -> Path:
    return run_until("teach", tmp_path_factory.mktemp("tiny"))


def test_the_gap_is_zero_where_the_bars_are_the_players_and_grows_as_they_improve(tiny_run):
    search = Searching(tiny_run)
    search.train(3)
    generator, discriminator, _, _ = search.those
    alike = Players(generator, discriminator, generator.twin(), discriminator.twin())
    with torch.no_grad():
        found = gap(alike, search.batch(), 0, HINGE)
    assert float(sum(found.values())) == 0
    assert float(found["worst"]) != 0
    # A discriminator that fits this batch better makes the first term larger, a generator the second.
    batch, fitted = search.batch(), Players(generator.twin(), discriminator.twin(), *alike[2:])
    for parameter in (*fitted[2].net.parameters(), *fitted[3].net.parameters()):
        parameter.requires_grad_(True)
    adams = [torch.optim.Adam(bar.net.parameters(), 1e-3, (0.0, 0.9)) for bar in fitted[2:]]
    for _ in range(20):
        for adam in adams:
            adam.zero_grad()
        fake = fitted.generator(batch.input, 0).detach()
        (-adv(fitted.discriminator_bar, batch.target, fake, 0, HINGE)).backward()
        adams[1].step()
        for adam in adams:
            adam.zero_grad()
        made = fitted.generator_bar(batch.input, 0)
        adv(fitted.discriminator, batch.target, made, 0, HINGE).backward()
        adams[0].step()
    with torch.no_grad():
        terms = gap(fitted, batch, 0, HINGE)
    assert float(terms["worst"]) > float(found["worst"])
    assert float(terms["best"]) > float(found["best"])


def test_adv_is_minus_the_printed_hinge_loss():
    class Scores:
        def __call__(self, images, step, gates=None):
            return images.mean((1, 2, 3), keepdim=True).flatten(1)

    real, fake = torch.full((2, 3, 4, 4), 0.5), torch.full((2, 3, 4, 4), -0.25)
    # relu(1 - 0.5) + relu(1 - 0.25), with the sign that D maximises.
    assert float(adv(Scores(), real, fake, 0, HINGE)) == -1.25


def gradients(search: Searching, **options) -> dict[str, float]:
    """By part: the size of the gradient that the gap gives its parameters."""
    parts = search.those.parts
    for part in parts.values():
        part.requires_grad_(True).zero_grad()
    sum(gap(search.those, search.batch(), 0, HINGE, **options).values()).backward()
    sizes = {}
    for name, part in parts.items():
        sizes[name] = sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None)
    return sizes


def test_the_logits_learn_from_g_against_d_bar_alone(tiny_run):
    search = Searching(tiny_run)
    search.train(4)
    # In training, every look at a spectral norm is a power iteration.
    search.those.discriminator_bar.net.eval()
    sizes = gradients(search)
    assert sizes["generator.relaxation"] > 0
    assert sizes["generator_bar.relaxation"] == sizes["generator_bar"] == sizes["discriminator"] == 0
    logits = list(search.those.generator.relaxation.parameters())
    gates = search.those.generator.gates(0)
    fake = search.those.generator(search.batch().input, 0, gates)
    alone = torch.autograd.grad(
        adv(search.those.discriminator_bar, search.batch().target, fake, 0, HINGE), logits, allow_unused=True
    )
    for logit, wanted in zip(logits, alone, strict=True):
        torch.testing.assert_close(logit.grad, wanted)


def test_coupled_bars_teach_the_logits_of_both_terms(tiny_run):
    search = Searching(tiny_run, "coupled=true")
    search.train(7)
    with torch.no_grad():
        for parameter in search.those.generator_bar.net.parameters():
            parameter.mul_(1.1)
    found = []
    for coupled in (False, True):
        gradients(search, coupled=coupled)
        found.append([logit.grad.clone() for logit in search.those.generator.relaxation.parameters()])
    assert all(not torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_a_searched_discriminator_learns_from_d_against_g_bar(tiny_run):
    search = Searching(tiny_run, "discriminator=searched")
    steps = search.watched(9)
    logits = {"generator.relaxation", "discriminator.relaxation"}
    assert steps[7] == steps[8] == logits
    sizes = gradients(search)
    assert all(sizes[name] > 0 for name in logits)
    assert sizes["discriminator_bar.relaxation"] == sizes["generator_bar.relaxation"] == 0


def test_one_hot_gates_give_the_extracted_generators_output(tiny_run):
    net = Searching(tiny_run, "interpolation=learned").those.generator.net
    genotype, noise = PUBLISHED["alphagan_s"], torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    made = net(noise, Gates.corner(SPACE, genotype))
    torch.testing.assert_close(net.extract(genotype).train()(noise), made, rtol=1e-4, atol=1e-4)
