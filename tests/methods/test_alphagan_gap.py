"""AlphaGAN's duality gap: its value, which parameters learn of it, and the supernet at its corners."""

import json
from pathlib import Path

import pytest
import torch

from slimgen.methods.alphagan.gradients import Gradients
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
    real, fake = torch.full((2, 3, 4, 4), 0.5), torch.full((2, 3, 4, 4), -0.25)
    # relu(1 - 0.5) + relu(1 - 0.25), with the sign that D maximises.
    assert float(adv(Fixed(), real, fake, 0, HINGE)) == -1.25


class Fixed:
    """A discriminator whose scores are the mean of an image's pixels."""

    def __call__(self, images, step, gates=None):
        return images.mean((1, 2, 3), keepdim=True).flatten(1)


def test_the_gap_of_the_scores_is_the_hinge_losss_plus_two_while_all_scores_are_within_one():
    real, fake = torch.rand(5, 3, 4, 4) * 2 - 1, torch.rand(5, 3, 4, 4) * 2 - 1
    hinge, scores = (adv(Fixed(), real, fake, 0, value) for value in (HINGE, SCORES))
    torch.testing.assert_close(hinge, scores - 2)
    torch.testing.assert_close(scores, real.mean() - fake.mean())


def test_images_beyond_the_hinge_teach_nothing_by_its_loss_and_as_much_as_others_by_the_scores():
    fake, real = torch.full((2, 3, 4, 4), -0.5), torch.zeros(2, 3, 4, 4)
    fake[1] = -1.5
    slopes = []
    for value in (HINGE, SCORES):
        given = fake.clone().requires_grad_(True)
        adv(Fixed(), real, given, 0, value).backward()
        slopes.append(given.grad.sum((1, 2, 3)))
    # -mean over two images of relu(1 + score), and of the score.
    assert slopes[0].tolist() == pytest.approx([-0.5, 0])
    assert slopes[1].tolist() == pytest.approx([-0.5, -0.5])


def test_by_the_scores_the_logits_learn_from_minus_d_bars_mean_and_those_of_d_from_its_difference(tiny_run):
    search = Searching(tiny_run, "discriminator=searched", "gap=scores")
    search.train(7)
    those, batch = search.those, search.batch()
    for part in those.parts.values():
        part.requires_grad_(True).eval()
    sum(gap(those, batch, 0, SCORES).values()).backward()
    generator, discriminator = those.generator, those.discriminator
    made = generator(batch.input, 0, generator.gates(0))
    logits = list(generator.relaxation.parameters())
    wanted = torch.autograd.grad(-those.discriminator_bar(made, 0).mean(), logits)
    for logit, gradient in zip(logits, wanted, strict=True):
        torch.testing.assert_close(logit.grad, gradient)
    best, gates = those.generator_bar(batch.input, 0), discriminator.gates(0)
    difference = discriminator(best, 0, gates).mean() - discriminator(batch.target, 0, gates).mean()
    logits = list(discriminator.relaxation.parameters())
    for logit, gradient in zip(logits, torch.autograd.grad(difference, logits), strict=True):
        torch.testing.assert_close(logit.grad, gradient)


def test_by_the_scores_g_bar_is_trained_only_where_something_learns_from_it(tiny_run):
    for setting, trained in (("bar=weights", False), ("coupled=true", True), ("discriminator=searched", True)):
        search = Searching(tiny_run, "gap=scores", setting)
        assert ("generator_bar" in {phase.name for phase in search.phases}) == trained


class Logits(torch.nn.Module):
    """Two choices whose gradients are given."""

    def __init__(self):
        super().__init__()
        self.one, self.two = (torch.nn.Parameter(torch.zeros(size)) for size in (2, 1))

    def learn(self, *gradient: float) -> None:
        self.one.grad, self.two.grad = torch.tensor(gradient[:2]), torch.tensor(gradient[2:])


def test_the_log_tells_shares_norms_and_cosines_of_each_iteration_and_warns_once(tmp_path):
    said, logits, file, kept = [], Logits(), tmp_path / "log.jsonl", {}
    told = Gradients(file, logits, True, said.append)
    steps = [(3, (3.0, 0.0, 4.0), 10), (4, (0.0, 0.0, 2.0), 9), (8, (1.0, 0.0, 0.0), 10), (9, (-2.0, 0.0, 0.0), 10)]
    for number, (done, gradient, beyond) in enumerate(steps):
        told.see(torch.tensor([-1.5] * beyond + [-1.0] * (10 - beyond)))
        logits.learn(*gradient)
        first = number % 2 == 0
        told.step(done, first, not first)
        if number == 2:  # killed here, and resumed from before this step
            other = Gradients(file, logits, True, said.append)
            other.load_state_dict(kept)
            told = other
            told.see(torch.tensor([-1.5] * beyond))
            told.step(done, first, not first)
        kept = told.state_dict()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 4, 8, 9]
    assert [line["beyond"] for line in lines] == pytest.approx([1, 0.9, 1, 1])
    assert [line["gradient"] for line in lines] == pytest.approx([5, 2, 1, 2])
    assert [line.get("cosine") for line in lines] == [None, pytest.approx(0.8), None, pytest.approx(-1)]
    assert [line for line in said if "95% of the generated pictures are beyond the hinge" in line] == said
    assert len(said) == 1
    facts = told.facts()
    assert facts["architecture_cosine"] == pytest.approx(-0.1)
    assert facts["architecture_beyond"] == pytest.approx(0.975)


def test_where_every_score_has_a_gradient_none_is_warned_of():
    said, logits = [], Logits()
    told = Gradients(None, logits, False, said.append)
    told.see(torch.full((4, 1), -2.0))
    logits.learn(0.0, 0.0, 0.0)
    told.step(1, True, True)
    assert not said
    assert told.facts() == {}


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
