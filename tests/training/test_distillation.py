import torch
from torch import nn

from slimgen.training.losses import Adaptors, Teacher, distillation_loss


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


def test_adaptors_take_the_first_channels_of_a_narrow_student():
    adaptors = Adaptors([4, 4], [6, 5])
    features = [torch.randn(1, 4, 3, 3), torch.randn(1, 2, 3, 3)]
    whole, part = adaptors(features)
    assert whole.shape == (1, 6, 3, 3)
    padded = torch.cat([features[1], torch.zeros(1, 2, 3, 3)], 1)
    assert torch.allclose(part, adaptors[1](padded), atol=1e-6)
