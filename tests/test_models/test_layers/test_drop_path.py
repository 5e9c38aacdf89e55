"""Stochastic depth over samples, not over their time steps."""

import pytest
import torch

from snndense.models.layers import DropPath, drop_path_ramp


def test_drops_a_sample_at_all_its_steps():
    torch.manual_seed(0)
    layer = DropPath(0.25, time_steps=4)
    x = torch.ones(4 * 400, 2, 3, 3)
    factors = layer(x).unflatten(0, (4, 400))
    assert (factors == factors[:1, :, :1, :1, :1]).all()
    factors = factors[0, :, 0, 0, 0]
    torch.testing.assert_close(factors.unique(), torch.tensor([0, 4 / 3]))
    assert 0.15 < (factors == 0).float().mean() < 0.35


def test_draws_anew_at_every_call():
    layer = DropPath(0.5)
    x = torch.ones(64, 1)
    assert not torch.equal(layer(x), layer(x))


def test_does_nothing_in_evaluation_or_at_rate_0():
    x = torch.randn(4, 3)
    assert DropPath(0.9).eval()(x) is x
    assert DropPath(0.0)(x) is x


@pytest.mark.parametrize('rate', (-0.1, 1.0, 1.5))
def test_rates_out_of_range(rate):
    with pytest.raises(ValueError, match='drop path rate'):
        DropPath(rate)


def test_rises_linearly_to_the_last_block():
    assert drop_path_ramp(0.5, 3) == [0.0, 0.25, 0.5]
    assert drop_path_ramp(0.5, 1) == [0.0]
    assert drop_path_ramp(0.5, 0) == []
