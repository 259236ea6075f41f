import pytest
import torch

from distill3d.kernels.distill.guidance import guide, perp_negative


def by_hand(unconditional, positive, negatives, weights, scale):
    """One sample after the other, as the definition reads: lists of numbers, no tensor arithmetic."""
    rows = []
    for sample in range(len(positive)):
        u, p = unconditional[sample].flatten().tolist(), positive[sample].flatten().tolist()
        e = [b - a for a, b in zip(u, p)]
        total = list(e)
        for negative, weight in zip(negatives, weights[sample].tolist()):
            n = [b - a for a, b in zip(u, negative[sample].flatten().tolist())]
            along = sum(x * y for x, y in zip(n, e)) / sum(y * y for y in e)
            total = [s + weight * (x - along * y) for s, x, y in zip(total, n, e)]
        rows.append([a + scale * d for a, d in zip(u, total)])
    return torch.tensor(rows, dtype=torch.float64).view_as(positive)


@pytest.fixture
def predictions():
    return torch.randn(4, 3, 2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


WEIGHTS = torch.tensor([[-1.5, -0.2], [0.0, -1.97], [0.0, 0.0]], dtype=torch.float64)


def test_perp_negative_equals_its_definition(predictions):
    u, p, *negatives = predictions
    torch.testing.assert_close(perp_negative(u, p, negatives, WEIGHTS, 7.5), by_hand(u, p, negatives, WEIGHTS, 7.5),
                               atol=1e-12, rtol=1e-12)


def test_perp_negative_in_numbers():
    """In the plane: towards (2,0), away from (3,1), of which only (0,1) is not wanted too."""
    u, p, n = (torch.tensor([v], dtype=torch.float64) for v in ((1.0, 1.0), (3.0, 1.0), (4.0, 2.0)))
    found = perp_negative(u, p, [n], torch.tensor([[-0.5]], dtype=torch.float64), 10.0)
    assert found.tolist() == [[21.0, -4.0]]


def test_without_negatives_it_is_guidance(predictions):
    u, p, *negatives = predictions
    torch.testing.assert_close(perp_negative(u, p, negatives, torch.zeros(3, 2), 7.5), guide(u, p, 7.5))
    assert torch.equal(perp_negative(u, p, [], torch.zeros(3, 0), 7.5), guide(u, p, 7.5))


def test_the_part_parallel_to_the_positive_is_kept(predictions):
    u, p, *negatives = predictions
    found = perp_negative(u, p, negatives, WEIGHTS, 7.5)
    towards = p - u
    along = ((found - u) * towards).sum((1, 2, 3)) / towards.square().sum((1, 2, 3))
    torch.testing.assert_close(along, torch.full((3,), 7.5, dtype=torch.float64))
    leading = ((found - guide(u, p, 7.5)) * (negatives[0] - u)).sum((1, 2, 3))
    assert leading[0] < 0


def test_noise_and_clean_images_give_the_same_guidance(predictions):
    """z0 = (z_t - s eps) / a per sample: combining either kind of prediction is the same."""
    z_t = torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    a = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64).view(3, 1, 1, 1)

    def clean(eps):
        return (z_t - (1 - a * a).sqrt() * eps) / a

    u, p, *negatives = predictions
    of_clean = perp_negative(clean(u), clean(p), [clean(n) for n in negatives], WEIGHTS, 20.0)
    torch.testing.assert_close(of_clean, clean(perp_negative(u, p, negatives, WEIGHTS, 20.0)), atol=1e-9, rtol=1e-9)


def test_scales_per_sample(predictions):
    u, p, *negatives = predictions
    scales = torch.tensor([1.0, 5.0, 100.0])
    found = perp_negative(u, p, negatives, WEIGHTS, scales)
    for i, scale in enumerate(scales.tolist()):
        torch.testing.assert_close(found[i:i + 1], by_hand(u[i:i + 1], p[i:i + 1], [n[i:i + 1] for n in negatives],
                                                           WEIGHTS[i:i + 1], scale))


def test_it_is_finite_where_positive_and_unconditional_agree(predictions):
    u, _, *negatives = predictions.float()
    found = perp_negative(u, u, negatives, WEIGHTS.float(), 100.0)
    assert bool(found.isfinite().all()) and torch.equal(found[2], u[2])


def test_one_weight_for_each_negative(predictions):
    u, p, *negatives = predictions
    with pytest.raises(ValueError):
        perp_negative(u, p, negatives, WEIGHTS[:, :1], 1.0)
