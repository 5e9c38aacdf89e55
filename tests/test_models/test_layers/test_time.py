"""Folding of time into the batch axis."""

import pytest
import torch

from snndense.models.layers import (
    fold_time,
    mean_over_time,
    repeat_time,
    unfold_time,
)


def test_time_is_the_slower_index():
    x = torch.arange(6.0).view(6, 1, 1, 1)  # entry t * N + n, two samples
    x_seq = unfold_time(x, 3)
    assert x_seq.shape == (3, 2, 1, 1, 1)
    assert x_seq[1].flatten().tolist() == [2, 3]
    assert torch.equal(fold_time(x_seq), x)


def test_folding_moves_nothing():
    x = torch.zeros(6, 4, 5, 3).contiguous(memory_format=torch.channels_last)
    x_seq = unfold_time(x, 2)
    assert x_seq.data_ptr() == x.data_ptr()
    assert fold_time(x_seq).data_ptr() == x.data_ptr()


def test_no_samples():
    assert unfold_time(torch.zeros(0, 4), 3).shape == (3, 0, 4)


def test_steps_that_do_not_fit():
    with pytest.raises(ValueError, match=r'5 is not a multiple of time_steps=2'):
        unfold_time(torch.zeros(5, 3), 2)


def test_repeat_and_mean():
    x = torch.randn(2, 3, 4, 4)
    repeated = repeat_time(x, 3)
    assert torch.equal(unfold_time(repeated, 3), torch.stack([x, x, x]))
    assert repeat_time(x, 1) is x
    y = torch.randn(6, 3)
    torch.testing.assert_close(mean_over_time(y, 3), (y[:2] + y[2:4] + y[4:]) / 3)
    assert mean_over_time(y, 1) is y
