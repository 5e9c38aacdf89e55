import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from snndense.models.backbones.lsformer_pooling import SPOOLS, SPooling
from snndense.models.layers import unfold_time

LIF = dict(type='LIF')


def spikes(*shape: int, levels: int = 1, rate: float = 0.5) -> Tensor:
    torch.manual_seed(0)
    counts = torch.binomial(torch.full(shape, float(levels)), torch.tensor(rate))
    return counts.double() / levels


def windows(size: int, kernel_size: int) -> list[range]:
    """In-image positions of every window along one axis."""
    first = -((kernel_size - 1) // 2)
    starts = range(first, first + 2 * math.ceil(size / 2), 2)
    return [range(max(s, 0), min(s + kernel_size, size)) for s in starts]


def loop_response(x: Tensor, kernel_size: int) -> Tensor:
    """Sum of every window, ``(B, C, H, W)``."""
    rows, columns = (windows(size, kernel_size) for size in x.shape[2:])
    out = x.new_zeros(*x.shape[:2], len(rows), len(columns))
    for i, window_rows in enumerate(rows):
        for j, window_columns in enumerate(columns):
            for y in window_rows:
                for z in window_columns:
                    out[:, :, i, j] += x[:, :, y, z]
    return out


def loop_spooling(
    x: Tensor, gain: float, kernel_size: int, levels: int, time_steps: int
) -> tuple[Tensor, Tensor]:
    """Emitted counts ``(T, N, C, H, W)`` and the membrane after the last step."""
    membrane, counts = 0, []
    for step in unfold_time(x, time_steps):
        h = membrane + gain * loop_response(step * levels, kernel_size)
        count = (h >= 1).to(h.dtype) if levels == 1 else h.clamp(0, levels).round()
        membrane = h - count
        counts.append(count)
    return torch.stack(counts), membrane


def pooling(channels: int = 2, gain: float | None = None, **kwargs) -> SPooling:
    pool = SPooling(channels, **{'neuron_cfg': LIF, **kwargs}).double()
    if gain is not None:
        pool.gain.data.fill_(gain)
    return pool


@pytest.mark.parametrize('kernel_size', [2, 3, 4, 5])
@pytest.mark.parametrize('size', [(5, 7), (6, 4), (1, 1), (2, 9)])
@pytest.mark.parametrize('levels, time_steps', [(1, 4), (4, 1), (4, 3)])
def test_equals_the_definition(kernel_size, size, levels, time_steps):
    neuron_cfg = LIF if levels == 1 else dict(type='IntegerLIF', levels=levels)
    pool = pooling(
        gain=0.25, kernel_size=kernel_size, neuron_cfg=neuron_cfg, time_steps=time_steps
    )
    x = spikes(2 * time_steps, 2, *size, levels=levels)
    counts, _ = loop_spooling(x, 0.25, kernel_size, levels, time_steps)
    assert counts.shape[3:] == tuple(math.ceil(side / 2) for side in size)
    assert torch.equal(pool(x), counts.flatten(0, 1) / levels)


@pytest.mark.parametrize('gain', [0.0625, 0.125, 2.0])
def test_no_response_is_lost(gain):
    """What comes in leaves as a spike or stays in the membrane."""
    time_steps = 6
    x = spikes(2 * time_steps, 2, 7, 8)
    pool = pooling(gain=gain, time_steps=time_steps)
    charge = unfold_time(pool.charge(x), time_steps)
    out, membrane = pool.neuron.integrate(charge)
    assert torch.equal(charge.sum(0), out.sum(0) + membrane)
    assert torch.equal(out.flatten(0, 1), pool(x))
    if gain * 9 <= 2:  # at most 9/8 per step, and the first steps of it below 1
        small = charge.amax(0) <= 1
        assert ((membrane >= 0) & (membrane < 1))[small].all()


def test_low_gain_passes_the_rate_of_the_window_on():
    time_steps = 8
    x = spikes(time_steps, 2, 6, 6)
    pool = pooling(gain=1 / 4, kernel_size=2, time_steps=time_steps)
    means = F.avg_pool2d(x, 2).sum(0)  # window-mean count over time
    assert torch.equal(pool(x).sum(0), means.floor())


@pytest.mark.parametrize('size', [(7, 8), (1, 5)])
def test_high_gain_is_max_pooling(size):
    x = spikes(3, 2, *size, rate=0.2)
    out = pooling(gain=1.0)(x)
    assert torch.equal(out, F.max_pool2d(x, 3, 2, 1))
    assert torch.equal(out, pooling(spool='max')(x))


def test_order_in_the_window_is_irrelevant_and_number_is_not():
    pool = pooling(channels=1, kernel_size=2, gain=0.5)
    x = spikes(1, 1, 8, 8)
    blocks = x.view(4, 2, 4, 2).permute(0, 2, 1, 3).reshape(4, 4, 4)
    permuted = blocks[..., [2, 0, 3, 1]].view(4, 4, 2, 2).permute(0, 2, 1, 3)
    assert torch.equal(pool(permuted.reshape(1, 1, 8, 8)), pool(x))

    one = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    one[..., 0, 0] = 1
    two = one.clone()
    two[..., 1, 1] = 1
    assert pool(one).item() == 0
    assert pool(two).item() == 1
    assert F.max_pool2d(one, 2) == F.max_pool2d(two, 2)


@pytest.mark.parametrize('spool', SPOOLS)
@pytest.mark.parametrize('kernel_size', [2, 3])
@pytest.mark.parametrize('neuron', ['LIF', 'PLIF', 'IntegerLIF'])
def test_output_of_every_variant(spool, kernel_size, neuron):
    levels = 4 if neuron == 'IntegerLIF' else 1
    pool = pooling(
        spool=spool,
        kernel_size=kernel_size,
        neuron_cfg=dict(type=neuron),
        time_steps=2,
    )
    x = spikes(4, 2, 9, 6, levels=levels, rate=0.7).requires_grad_()
    out = pool(x)
    assert out.shape == (4, 2, 5, 3)
    if spool == 'avg':
        expected = loop_response(x, kernel_size) / kernel_size**2
        if kernel_size == 3:  # incomplete even windows are averages of what is there
            torch.testing.assert_close(out, expected)
    else:
        counts = out * levels
        assert torch.equal(counts, counts.round())
        assert out.min() >= 0 and 0 < out.max() <= 1
    out.square().sum().backward()
    assert x.grad.abs().sum() > 0
    for parameter in pool.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all()


def test_gain_batch_norm_and_kernel_are_one_linear_step():
    """The variants differ in what they learn, not in what they can express."""
    time_steps = 3
    x = spikes(2 * time_steps, 2, 6, 7)
    expected = pooling(gain=0.25, time_steps=time_steps)(x)
    assert torch.equal(pooling(gain=-0.25, time_steps=time_steps)(x), expected)
    kernel = pooling(spool='dw', time_steps=time_steps)
    kernel.weight.data.fill_(0.25)
    assert torch.equal(kernel(x), expected)
    norm = pooling(
        spool='bn', norm_cfg=dict(type='BN', eps=1e-30), time_steps=time_steps
    )
    norm.norm.weight.data.fill_(0.25)
    assert torch.equal(norm.eval()(x), expected)
    leaky = pooling(spool='lif', gain=0.25, time_steps=time_steps)
    assert not torch.equal(leaky(x), expected)


def test_batch_norm_reads_counts():
    neuron_cfg = dict(type='IntegerLIF', levels=4)
    pool = pooling(spool='bn', neuron_cfg=neuron_cfg)
    x = spikes(8, 2, 6, 6, levels=4)
    pool.charge(x)
    counts = loop_response(4 * x, 3)
    torch.testing.assert_close(pool.norm.running_mean, 0.1 * counts.mean((0, 2, 3)))


def test_gradient_reaches_the_whole_window():
    x = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    x[..., 1, 1] = 1
    grads = {}
    for spool in ('if', 'max'):
        leaf = x.clone().requires_grad_()
        pooling(channels=1, spool=spool)(leaf)[..., 0, 0].sum().backward()
        grads[spool] = leaf.grad[0, 0, :2, :2].count_nonzero().item()
    assert grads == {'if': 4, 'max': 1}


def test_starts_at_a_threshold_of_the_side():
    x = torch.zeros(1, 1, 3, 3)
    pool = SPooling(1, neuron_cfg=LIF)
    x[..., 0, :2] = 1
    assert pool(x)[..., 0, 0].item() == 0  # two spikes
    x[..., 1, 1] = 1
    assert pool(x)[..., 0, 0].item() == 1  # three


@pytest.mark.parametrize('levels', [1, 4])
def test_half_precision_counts_exactly(levels):
    neuron_cfg = LIF if levels == 1 else dict(type='IntegerLIF', levels=levels)
    pool = pooling(neuron_cfg=neuron_cfg).float()
    x = spikes(4, 2, 9, 8, levels=levels).float()
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.equal(pool(x.to(dtype)).float(), pool(x))


def test_surrogate_is_that_of_the_network():
    neuron_cfg = dict(type='LIF', surrogate='atan', alpha=3.0, tau=4.0)
    neuron = SPooling(1, neuron_cfg=neuron_cfg).neuron
    assert type(neuron).__name__ == 'IF'
    assert neuron.v_reset is None
    assert type(neuron.surrogate_function).__name__ == 'ATan'
    assert neuron.surrogate_function.alpha == 3.0


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(spool='mean'), "expected spool in .*'if'.*spool='mean'"),
        (dict(kernel_size=1), 'pooling window >= 2'),
        (dict(kernel_size=2.5), 'pooling window >= 2'),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        SPooling(2, neuron_cfg=LIF, **changes)
