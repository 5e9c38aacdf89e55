"""Neurons against their formulas, written as plain loops over time."""

import math

import pytest
import torch
from spikingjelly.activation_based import surrogate
from torch import Tensor, nn

from snndense.models.layers import IF, LIF, PLIF, IntegerLIF, build_neuron

SOFT = {
    # antiderivatives of the surrogate gradients, alpha as published
    'sigmoid': lambda u: torch.sigmoid(4 * u),
    'atan': lambda u: torch.atan(math.pi / 2 * 2 * u) / math.pi,
}

PRECISIONS = pytest.mark.parametrize('dtype', (torch.float32, torch.float64))


def binary_loop(x_seq: Tensor, charge, threshold, v_reset, soft, detach_reset):
    """``h = charge(v, x)``, a spike where ``h >= threshold``, reset, for every step."""
    rest = v_reset or 0.0
    v, spikes = torch.full_like(x_seq[0], rest), []
    for x in x_seq:
        h = charge(v, x, rest)
        soft_spike = soft(h - threshold)
        spike = (h >= threshold).to(h) + soft_spike - soft_spike.detach()
        reset = spike.detach() if detach_reset else spike
        if v_reset is None:
            v = h - reset * threshold
        else:
            v = h * (1 - reset) + reset * v_reset
        spikes.append(spike)
    return torch.stack(spikes)


def leak(tau: float, decay_input: bool):
    if decay_input:
        return lambda v, x, rest: v + (x - (v - rest)) / tau
    return lambda v, x, rest: v - (v - rest) / tau + x


def inputs(dtype: torch.dtype, time_steps: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * time_steps, 3, 5, 4, generator=generator, dtype=torch.float64)
    return (2 * x).to(dtype)


def assert_like(neuron: nn.Module, x: Tensor, loop) -> None:
    """Equal outputs, and gradients of the same numbers."""
    mine, theirs = (x.clone().requires_grad_(True) for _ in range(2))
    out = neuron(mine)
    expected = loop(theirs.unflatten(0, (neuron.time_steps, -1))).flatten(0, 1)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    out.backward(weights)
    expected.backward(weights)
    assert mine.grad.any()
    torch.testing.assert_close(mine.grad, theirs.grad)
    with torch.no_grad():
        assert torch.equal(neuron(x), out)


@PRECISIONS
@pytest.mark.parametrize('v_reset', (0.0, None, -0.2))
@pytest.mark.parametrize('decay_input', (True, False))
def test_lif(decay_input, v_reset, dtype):
    neuron = LIF(
        time_steps=4, tau=1.6, decay_input=decay_input, v_reset=v_reset, v_threshold=0.6
    )
    charge = leak(1.6, decay_input)
    assert_like(
        neuron,
        inputs(dtype),
        lambda x: binary_loop(x, charge, 0.6, v_reset, SOFT['sigmoid'], True),
    )


@PRECISIONS
@pytest.mark.parametrize('detach_reset', (True, False))
@pytest.mark.parametrize('name', SOFT)
def test_surrogates_and_the_spike_inside_the_reset(name, detach_reset, dtype):
    neuron = LIF(time_steps=4, surrogate=name, detach_reset=detach_reset)
    assert_like(
        neuron,
        inputs(dtype),
        lambda x: binary_loop(x, leak(2.0, True), 1.0, 0.0, SOFT[name], detach_reset),
    )


@PRECISIONS
def test_surrogate_sharpness(dtype):
    assert_like(
        LIF(time_steps=2, alpha=1.5),
        inputs(dtype, 2),
        lambda x: binary_loop(
            x, leak(2.0, True), 1.0, 0.0, lambda u: torch.sigmoid(1.5 * u), True
        ),
    )


@PRECISIONS
@pytest.mark.parametrize('v_reset', (0.0, None))
def test_if(v_reset, dtype):
    assert_like(
        IF(time_steps=4, v_reset=v_reset),
        inputs(dtype),
        lambda x: binary_loop(
            x, lambda v, x, rest: v + x, 1.0, v_reset, SOFT['sigmoid'], True
        ),
    )


@PRECISIONS
@pytest.mark.parametrize('decay_input', (True, False))
def test_plif_and_its_time_constant(decay_input, dtype):
    neuron = PLIF(time_steps=4, init_tau=3.0, decay_input=decay_input).to(dtype)
    w = neuron.w.detach().clone().requires_grad_(True)
    torch.testing.assert_close(1 / w.sigmoid(), torch.tensor(3.0, dtype=dtype))

    def loop(x: Tensor) -> Tensor:
        charge = leak(1 / w.sigmoid(), decay_input)
        return binary_loop(x, charge, 1.0, 0.0, SOFT['sigmoid'], True)

    assert_like(neuron, inputs(dtype), loop)
    assert neuron.w.grad.abs() > 0.01
    torch.testing.assert_close(neuron.w.grad, w.grad, rtol=1e-4, atol=1e-5)
    assert list(neuron.state_dict()) == ['w']


@PRECISIONS
@pytest.mark.parametrize('steps', (1, 2))
@pytest.mark.parametrize('neuron_class', (LIF, PLIF, IF))
def test_a_membrane_at_the_threshold_fires(neuron_class, steps, dtype):
    # values behind an attention are multiples of 1/8: exact ties do occur
    gain = 1.0 if neuron_class is IF else 2.0
    neuron = neuron_class(time_steps=steps, v_threshold=0.5).to(dtype)
    at = torch.full((steps,), 0.5 * gain, dtype=dtype)
    below = torch.nextafter(at, torch.zeros_like(at))
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            assert neuron(at.clone().requires_grad_(grad))[0] == 1
            assert neuron(below.clone().requires_grad_(grad))[0] == 0
    # and the surrogate gradient is at its largest there: alpha / 4, over tau
    at.requires_grad_(True)
    neuron(at)[0].backward()
    assert at.grad[0] == pytest.approx(1 / gain)


HALVES = torch.tensor([-1, -0.5, 0, 0.5, 1, 1.5, 2.5, 3.5, 4, 4.2, 5])
ROUNDED = {
    'half_even': ([0, 0, 0, 0, 1, 2, 2, 4, 4, 4, 4], [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0]),
    'half_up': ([0, 0, 0, 1, 1, 2, 3, 4, 4, 4, 4], [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]),
}


@PRECISIONS
@pytest.mark.parametrize('rounding', ROUNDED)
def test_integer_counts_at_halves_and_bounds(rounding, dtype):
    counts, passes = ROUNDED[rounding]
    neuron = IntegerLIF(levels=4, rounding=rounding)
    x = HALVES.to(dtype, copy=True).requires_grad_(True)
    out = neuron(x)
    assert (out * 4).tolist() == counts
    out.sum().backward()
    assert (x.grad * 4).tolist() == passes
    with torch.no_grad():
        assert torch.equal(neuron(x), out)
    assert torch.equal(x, HALVES.to(dtype))  # not overwritten


def test_half_up_steps_do_not_interact():
    neuron = IntegerLIF(rounding='half_up', tau=1, time_steps=2)
    counts = neuron(torch.stack([HALVES, HALVES.flip(0)])) * 4
    assert counts.tolist() == [ROUNDED['half_up'][0], ROUNDED['half_up'][0][::-1]]


@PRECISIONS
@pytest.mark.parametrize('levels', (1, 4, 8))
def test_integer_counts_are_those_of_spikingjelly(levels, dtype):
    x, again = (inputs(dtype).mul(3).requires_grad_(True) for _ in range(2))
    out = IntegerLIF(levels=levels, norm=1)(x)
    expected = surrogate.MultiLevelSpikeCount(levels)(again)
    weights = torch.randn_like(out)
    out.backward(weights)
    expected.backward(weights)
    assert torch.equal(out, expected)
    assert torch.equal(x.grad, again.grad)


def test_integer_neuron_keeps_one_byte_per_element():
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda x: kept.append(x.nbytes) or x, lambda x: x
    )
    x = inputs(torch.float32).requires_grad_(True)
    with hooks:
        IntegerLIF()(x)
    assert sum(kept) == x.numel()


def test_integer_threshold_and_norm():
    x = torch.tensor([0.2, 0.3, 0.5, 1.0, 9.0], requires_grad=True)
    out = IntegerLIF(levels=3, norm=2, v_threshold=0.25)(x)
    assert out.tolist() == [0.5, 0.5, 1.0, 1.5, 1.5]
    out.sum().backward()
    assert x.grad.tolist() == [2, 2, 2, 0, 0]  # 1 / norm / v_threshold


def test_levels_while_training():
    # published modules that train and evaluate with different bounds
    neuron = IntegerLIF(levels=1, train_levels=4, norm=1)
    x = torch.tensor([0.4, 1.6, 2.6, 9.0])
    assert neuron.train()(x).tolist() == [0, 2, 3, 4]
    assert neuron.eval()(x).tolist() == [0, 1, 1, 1]


def integer_loop(x_seq: Tensor, tau: float, threshold: float, levels: int) -> Tensor:
    v, counts = torch.zeros_like(x_seq[0]), []
    for x in x_seq:
        h = (1 - 1 / tau) * v + x
        scaled = h / threshold
        window = ((scaled >= 0) & (scaled <= levels)).to(h)
        count = scaled.clamp(0, levels).round().detach()
        count = count + window * (scaled - scaled.detach())
        v = h - count * threshold
        counts.append(count)
    return torch.stack(counts)


@PRECISIONS
@pytest.mark.parametrize('threshold', (1.0, 0.7))
def test_integer_neuron_over_time(threshold, dtype):
    neuron = IntegerLIF(time_steps=4, levels=3, tau=1.5, v_threshold=threshold)
    assert_like(neuron, inputs(dtype), lambda x: integer_loop(x, 1.5, threshold, 3) / 3)


@PRECISIONS
def test_integer_neuron_that_forgets(dtype):
    x = inputs(dtype)
    steps_apart = IntegerLIF(time_steps=1)(x)
    assert torch.equal(IntegerLIF(time_steps=4, tau=1)(x), steps_apart)
    assert not torch.equal(IntegerLIF(time_steps=4, tau=2)(x), steps_apart)


@pytest.mark.parametrize('neuron_class', (IntegerLIF, LIF, PLIF, IF))
def test_a_call_leaves_nothing_behind(neuron_class):
    neuron = neuron_class(time_steps=2)
    x = inputs(torch.float32, 2)
    first = neuron(x)
    neuron(x * 5)
    assert torch.equal(neuron(x), first)
    assert not list(neuron.buffers())


@pytest.mark.parametrize('neuron_class', (IntegerLIF, LIF, PLIF, IF))
def test_samples_and_steps_are_told_apart(neuron_class):
    # entry t * N + n is step t of sample n
    neuron = neuron_class(time_steps=2)
    x = inputs(torch.float32, 2)
    together = neuron(x)
    for sample in range(2):
        assert torch.equal(together[sample::2], neuron(x[sample::2]))


@pytest.mark.parametrize('time_steps', (1, 3))
@pytest.mark.parametrize('neuron_class', (IntegerLIF, LIF, PLIF, IF))
def test_half_precision(neuron_class, time_steps):
    # multiples of 1/8 are exact in bfloat16, and the membrane is in float32
    x = (inputs(torch.float32, time_steps) * 8).round() / 8
    neuron = neuron_class(time_steps=time_steps)
    out = neuron(x.bfloat16().requires_grad_(True))
    assert out.dtype == torch.bfloat16
    assert torch.equal(out.float(), neuron(x).bfloat16().float())


@pytest.mark.parametrize('neuron_class', (IntegerLIF, LIF, PLIF, IF))
def test_no_samples_at_all(neuron_class):
    # a picture in which no region was proposed
    neuron = neuron_class(time_steps=2)
    x = torch.zeros(0, 3, 7, 7, requires_grad=True)
    out = neuron(x)
    assert out.shape == x.shape
    out.sum().backward()
    assert x.grad is not None
    assert all(p.grad is not None for p in neuron.parameters())


@pytest.mark.parametrize('neuron_class', (IntegerLIF, LIF, PLIF, IF))
def test_as_activation_of_a_stock_layer(neuron_class):
    cnn = pytest.importorskip('mmcv.cnn')
    act_cfg = dict(type=f'snndense.{neuron_class.__name__}', time_steps=2)
    layer = cnn.ConvModule(
        3, 4, 3, norm_cfg=dict(type='BN'), act_cfg=act_cfg, inplace=True
    )
    currents = []
    layer.bn.register_forward_hook(lambda m, args, y: currents.append(y))
    x = inputs(torch.float32, 2)
    out = layer(x)
    assert isinstance(layer.activate, neuron_class)
    assert torch.equal(out, neuron_class(time_steps=2)(currents[0]))
    assert currents[0].min() < 0  # not overwritten


@pytest.mark.parametrize(
    'neuron_class, kwargs, message',
    [
        (LIF, dict(tau=1.0), 'tau > 1'),
        (LIF, dict(surrogate='tanh'), "'sigmoid', 'atan'"),
        (LIF, dict(time_steps=0), 'time_steps >= 1'),
        (LIF, dict(time_steps=2.0), 'time_steps >= 1'),
        (PLIF, dict(init_tau=0.5), 'init_tau > 1'),
        (IntegerLIF, dict(levels=0), 'levels'),
        (IntegerLIF, dict(levels=2.5), 'levels'),
        (IntegerLIF, dict(train_levels=0), 'train_levels'),
        (IntegerLIF, dict(norm=0), 'norm > 0'),
        (IntegerLIF, dict(tau=0.5), 'tau >= 1'),
        (IntegerLIF, dict(rounding='up'), 'half_even.*half_up'),
        (IntegerLIF, dict(rounding='half_up', time_steps=2), 'set tau=1'),
    ],
)
def test_settings_out_of_range(neuron_class, kwargs, message):
    with pytest.raises(ValueError, match=message):
        neuron_class(**kwargs)


def test_build_neuron():
    neuron_cfg = dict(type='snndense.LIF', tau=3.0)
    neuron = build_neuron(neuron_cfg, 4, v_threshold=0.5)
    assert isinstance(neuron, LIF)
    assert (neuron.time_steps, neuron.tau, neuron.v_threshold) == (4, 3.0, 0.5)
    assert neuron_cfg == dict(type='snndense.LIF', tau=3.0)
    assert isinstance(build_neuron(dict(type='LIF')), LIF)
    assert isinstance(build_neuron(dict(type=IF, time_steps=2), 2), IF)


@pytest.mark.parametrize(
    'neuron_cfg, error, message',
    [
        (None, TypeError, "with a 'type'"),
        (dict(tau=2.0), TypeError, "with a 'type'"),
        ('LIF', TypeError, "with a 'type'"),
        (dict(type='LeakyReLU'), ValueError, 'unknown neuron type'),
        (dict(type='snndense.DropPath'), ValueError, 'unknown neuron type'),
        (dict(type='snndense.MetaSDT'), ValueError, 'unknown neuron type'),
        (dict(type=nn.ReLU), ValueError, 'unknown neuron type'),
        (dict(type='LIF', time_steps=4), ValueError, 'time_steps=4.*time_steps=2'),
        (dict(type='LIF', levels=4), TypeError, "neuron_cfg=.*'levels'"),
    ],
)
def test_build_neuron_refuses(neuron_cfg, error, message):
    with pytest.raises(error, match=message):
        build_neuron(neuron_cfg, 2)
