import torch
from torch import nn

from slimgen.training.distillation import Adaptors, Teacher, distillation_loss, fsp_loss, fsp_matrix


class Counting(nn.Module):
    """Counts how often it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.calls = nn.Conv2d(1, 1, 1), 0

    def features(self, images):
        self.calls += 1
        return self.conv(images), [images, 2 * images]


def test_a_teacher_runs_once_for_the_same_images_and_keeps_no_graph():
    net = Counting()
    teacher = Teacher(net)
    images = torch.ones(1, 1, 2, 2)
    first, second = teacher(images), teacher(images)
    assert first is second
    assert net.calls == 1
    assert not first[0].requires_grad
    teacher(torch.ones(1, 1, 2, 2))
    assert net.calls == 2


def test_a_teacher_without_features_shows_its_images_alone():
    image, features = Teacher(nn.Conv2d(1, 1, 1))(torch.ones(1, 1, 2, 2))
    assert image.shape == (1, 1, 2, 2)
    assert features == []


def test_the_loss_is_the_sum_over_layers_of_the_mean_squared_difference():
    found, wanted = (
        [torch.zeros(1, 2, 2, 2), torch.full((1, 1, 4, 4), 3.0)],
        [torch.ones(1, 2, 2, 2), torch.ones(1, 1, 4, 4)],
    )
    assert float(distillation_loss(found, wanted)) == 1.0 + 4.0


def test_adaptors_use_their_first_inputs_for_a_narrow_student():
    adaptors = Adaptors([4, 4], [6, 5])
    features = [torch.randn(1, 4, 3, 3), torch.randn(1, 2, 3, 3)]
    whole, part = adaptors(features)
    assert whole.shape == (1, 6, 3, 3)
    padded = torch.cat([features[1], torch.zeros(1, 2, 3, 3)], 1)
    assert torch.allclose(part, adaptors[1](padded), atol=1e-6)


def test_an_fsp_matrix_is_the_mean_of_the_products_of_two_layers_channels():
    first = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    last = torch.stack([torch.full((2, 2), 2.0), torch.tensor([[1.0, 0.0], [0.0, 0.0]])])[None]
    assert fsp_matrix(first, last).tolist() == [[[2 * 2.5, 1 / 4]]]


def test_of_two_sizes_the_larger_map_is_pooled_by_its_largest_values():
    large = torch.arange(16.0).reshape(1, 1, 4, 4)  # the largest of each quarter: 5, 7, 13, 15
    small = torch.tensor([[1.0, 0.0], [0.0, 2.0]])[None, None]
    assert fsp_matrix(large, small).tolist() == fsp_matrix(small, large).tolist() == [[[(5 + 30) / 4]]]


def test_the_fsp_loss_sums_squares_over_entries_and_pairs_of_layers_and_averages_over_images():
    # Constant features: an entry of a matrix is the product of two constants.
    found = [torch.full((2, 3, 4, 4), value) for value in (1.0, 2.0, 3.0)]
    wanted = [torch.full((2, 3, 4, 4), value) for value in (1.0, 1.0, 1.0)]
    found[2][1] = 0.5  # so that the second image's last matrix is as the teacher's
    assert float(fsp_loss(found, wanted)) == 9 * (2 - 1) ** 2 + 9 * ((6 - 1) ** 2 + 0) / 2
    assert float(fsp_loss(wanted, wanted)) == 0


def test_the_fsp_loss_teaches_both_layers_of_a_pair():
    found = [torch.rand(1, 2, 3, 3, requires_grad=True) for _ in range(3)]
    fsp_loss(found, [torch.rand(1, 2, 3, 3) for _ in range(3)]).backward()
    assert all(maps.grad is not None and maps.grad.any() for maps in found)
