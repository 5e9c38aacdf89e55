import runpy
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from snndense.models.backbones import lsformer_window
from snndense.models.backbones.lsformer_attention import LSSSA, SSA, LocalMixer
from snndense.models.backbones.lsformer_window import count_window, window_attention

REFERENCES = runpy.run_path(
    str(Path(__file__).parents[1] / 'reference' / 'unfold_attention.py')
)
loop_attention = REFERENCES['loop_attention']
unfold_attention = REFERENCES['unfold_attention']

UNIT = dict(neuron_cfg=dict(type='LIF'), norm_cfg=dict(type='BN'), time_steps=2)
SETTINGS = dict(num_heads=4, window_size=3, dilations=(1, 2), scale=0.5)
close = dict(rtol=0, atol=1e-12)


def operands(*shape: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3)]


def spikes(*shape: int, levels: int = 1, dtype=torch.float32) -> list[Tensor]:
    torch.manual_seed(0)
    return [
        (torch.randint(0, levels + 1, shape) / levels).to(dtype).requires_grad_()
        for _ in range(3)
    ]


def with_gradients(function, inputs: list[Tensor], **settings) -> list[Tensor]:
    out = function(*inputs, **settings)
    generator = torch.Generator().manual_seed(1)
    seed = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    return [out, *torch.autograd.grad(out, inputs, seed.to(out.dtype))]


@pytest.mark.parametrize(
    'size, window_size, dilations',
    [
        ((5, 7), 3, (1, 2)),
        ((1, 1), 3, (1, 2, 3, 4)),
        ((13, 4), 3, (1, 2, 3, 4)),
        ((6, 6), 5, (1, 3)),
        ((2, 9), 3, (4,)),
        ((3, 8), 3, (1, 5)),
        ((3, 4), 1, (1,)),
    ],
)
def test_equals_the_definition(size, window_size, dilations):
    settings = dict(
        num_heads=4, window_size=window_size, dilations=dilations, scale=0.7
    )
    inputs = operands(2, 8, *size)
    expected = with_gradients(loop_attention, inputs, **settings)
    for function in (window_attention, unfold_attention):
        for ours, theirs in zip(
            with_gradients(function, inputs, **settings), expected, strict=True
        ):
            torch.testing.assert_close(ours, theirs, **close)


@pytest.mark.parametrize('block_elements', [1, 150, 2**30])
def test_blocks_of_rows_change_nothing(monkeypatch, block_elements):
    monkeypatch.setattr(lsformer_window, 'CPU_BLOCK_ELEMENTS', block_elements)
    inputs = operands(1, 8, 11, 9)
    settings = dict(num_heads=4, window_size=5, dilations=(1, 4))
    for ours, theirs in zip(
        with_gradients(window_attention, inputs, **settings),
        with_gradients(unfold_attention, inputs, **settings),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, **close)


def test_a_window_over_the_image_is_global_attention():
    inputs = operands(2, 8, 4, 6)
    out = window_attention(
        *inputs, num_heads=2, window_size=11, dilations=(1,), scale=0.125
    )
    q, k, v = (x.flatten(2).unflatten(1, (2, -1)).mT for x in inputs)  # (B, h, N, d)
    expected = 0.125 * (q @ k.mT) @ v
    expected = expected.mT.flatten(1, 2).unflatten(-1, (4, 6))
    torch.testing.assert_close(out, expected, **close)
    layer = SSA(8, 2, **UNIT)
    torch.testing.assert_close(layer.mix(*inputs), expected, **close)


@pytest.mark.parametrize('changed', [1, 2])
def test_a_token_reaches_its_dilated_window_only(changed):
    inputs = [x.detach() for x in operands(1, 8, 12, 11)]
    before = window_attention(*inputs, **SETTINGS)
    inputs[changed][..., 6, 5] += 1
    difference = (window_attention(*inputs, **SETTINGS) - before).abs()
    for group, rate in enumerate(SETTINGS['dilations']):
        affected = difference[0].chunk(2)[group].sum(0).nonzero().tolist()
        window = [6 - rate, 6, 6 + rate], [5 - rate, 5, 5 + rate]
        assert affected == [[y, x] for y in window[0] for x in window[1]]


def test_shifts_and_batches():
    inputs = [x.detach() for x in operands(2, 8, 12, 12)]
    out = window_attention(*inputs, **SETTINGS)
    shifted = [x.roll((2, 3), (2, 3)) for x in inputs]
    torch.testing.assert_close(
        window_attention(*shifted, **SETTINGS)[..., 4:-2, 5:-2],
        out[..., 2:-4, 2:-5],
        **close,
    )
    alone = window_attention(*(x[1:] for x in inputs), **SETTINGS)
    assert torch.equal(alone, out[1:])


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('levels', [1, 4])
def test_spike_sums_are_exact_in_mixed_precision(dtype, levels):
    # 9 windows of 32 products: more digits than a bfloat16 has
    inputs = spikes(1, 64, 6, 5, levels=levels, dtype=dtype)
    with torch.no_grad():
        for x in inputs:
            x.clamp_(min=1 - 1 / levels)
            x[..., :2, :] = 1
    settings = dict(num_heads=2, window_size=3, dilations=(1, 2))
    expected = window_attention(*(x.double() for x in inputs), **settings)
    with torch.autocast('cpu', torch.bfloat16):
        out = window_attention(*inputs, **settings)
    assert out.dtype == torch.float32
    assert torch.equal(out.double(), expected)
    counts = expected * levels**3
    assert torch.equal(counts, counts.round())


def test_gradients_in_mixed_precision():
    inputs = spikes(2, 8, 5, 6, dtype=torch.bfloat16)
    expected = with_gradients(
        window_attention,
        [x.detach().float().requires_grad_() for x in inputs],
        **SETTINGS,
    )
    with torch.autocast('cpu', torch.bfloat16):
        ours = with_gradients(window_attention, inputs, **SETTINGS)
    assert [x.dtype for x in ours[1:]] == [torch.bfloat16] * 3
    for grad, reference in zip(ours[1:], expected[1:], strict=True):
        assert torch.equal(grad, reference.bfloat16())


def test_operands_used_twice():
    x = operands(1, 8, 5, 4)[0]

    def twice(function) -> Tensor:
        y = function(x, x, x, **SETTINGS)
        z = function(y, x, y, **SETTINGS) + function(x, y, x, **SETTINGS)
        return torch.autograd.grad((y + z).square().sum(), x)[0]

    torch.testing.assert_close(
        twice(window_attention), twice(unfold_attention), rtol=1e-12, atol=0
    )


def test_part_of_the_gradients():
    q, k, v = operands(1, 8, 5, 4)
    expected = with_gradients(window_attention, [q, k, v], **SETTINGS)
    out = window_attention(q.detach(), k, v.detach(), **SETTINGS)
    out.backward(
        torch.randn(
            out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype
        )
    )
    torch.testing.assert_close(k.grad, expected[2])
    assert q.grad is None


@pytest.mark.parametrize(
    'layout', ['channels_last', 'slices', 'transposed', 'expanded']
)
def test_layout_of_the_operands(layout):
    contiguous = operands(2, 8, 5, 5)
    if layout == 'channels_last':
        inputs = [x.contiguous(memory_format=torch.channels_last) for x in contiguous]
    elif layout == 'slices':
        inputs = list(torch.cat(contiguous, 1).chunk(3, 1))
    elif layout == 'transposed':
        inputs = [x.mT.contiguous().mT for x in contiguous]
    else:
        contiguous = [
            x[:1, :, :, :1].expand(2, 8, 5, 5).contiguous() for x in contiguous
        ]
        inputs = [x[:1, :, :, :1].expand(2, 8, 5, 5) for x in contiguous]
    assert not any(x.is_contiguous() for x in inputs)
    for ours, theirs in zip(
        with_gradients(window_attention, inputs, **SETTINGS),
        with_gradients(window_attention, contiguous, **SETTINGS),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


def test_gradients_of_gradients():
    inputs = operands(1, 4, 3, 2)
    settings = dict(num_heads=2, window_size=3, dilations=(1, 2), scale=0.7)

    def function(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return window_attention(q, k, v, **settings)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_compiled_and_checkpointed():
    inputs = operands(1, 8, 4, 1)
    expected = with_gradients(window_attention, inputs, **SETTINGS)
    # tracing is what may fail; generating code for the CPU takes minutes
    compiled = torch.compile(window_attention, backend='aot_eager', fullgraph=True)

    def recomputed(*args, **settings) -> Tensor:
        return checkpoint(window_attention, *args, use_reentrant=False, **settings)

    for function in (compiled, recomputed):
        for ours, theirs in zip(
            with_gradients(function, inputs, **SETTINGS), expected, strict=True
        ):
            torch.testing.assert_close(ours, theirs, **close)


def kept_bytes(function) -> int:
    """What ``function`` keeps for the backward pass."""
    kept = {}

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        out = function()
    assert out.requires_grad
    return sum(kept.values())


def peak_bytes(function) -> int:
    """Most memory that torch holds during ``function`` beyond what it held before."""
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profiler:
        function()
    events = profiler.profiler.kineto_results.events()
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in events
        if event.name() == '[memory]'
    )
    return max(accumulate(change for _, change in changes))


def test_memory_of_a_large_map():
    """Stride 4 of an 800 x 1333 image: 200 x 334 tokens, 64 channels."""
    inputs = spikes(1, 64, 200, 334)
    activation = inputs[0].nbytes
    settings = dict(num_heads=2, window_size=3, dilations=(1, 2))
    layer = LSSSA(64, 2, dilations=(1, 2), **UNIT)

    def with_offsets(*operands: Tensor, **_) -> Tensor:
        return layer.mix(*operands)

    def kept(function) -> float:
        return kept_bytes(lambda: function(*inputs, **settings)) / activation

    def peak(function) -> float:
        """Of a step besides q, k and v."""

        def step() -> None:
            # the factor makes a gradient that takes memory, as any layer behind does
            (2 * function(*inputs, **settings)).sum().backward()

        return peak_bytes(step) / activation

    assert kept(window_attention) == 3
    assert 3 <= kept(with_offsets) < 3.01  # v is kept once
    assert kept(unfold_attention) > 19
    # the gradient that comes in, and the three that go out
    assert peak(window_attention) < 4.1
    assert peak(with_offsets) < 5.1  # the gradient of v is a sum of two
    assert peak(unfold_attention) > 28


def test_cost_is_linear_in_the_tokens():
    """As many products as there are positions in all windows, twice."""

    class CountProducts(TorchDispatchMode):
        total = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if func.overloadpacket in (torch.ops.aten.mul, torch.ops.aten.addcmul_):
                self.total += out.numel()
            return out

    def cost(side: int) -> int:
        x = torch.ones(1, 8, side, side)
        with CountProducts() as products:
            window_attention(x, x, x, num_heads=4, window_size=3, dilations=(1, 2))
        return products.total

    for side in (5, 16, 64):
        windows = sum(count_window(side, side, 3, rate).sum() for rate in (1, 2))
        assert cost(side) == 2 * 4 * windows
    assert cost(128) / cost(64) == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize('learn_scale', [False, True])
def test_layer_is_the_formula(learn_scale):
    layer = LSSSA(
        8, 4, dilations=(1, 2), learn_scale=learn_scale, **{**UNIT, 'time_steps': 1}
    ).double()
    torch.nn.init.normal_(layer.rel_bias.weight)
    scale = torch.full((4,), 8 / 9, dtype=torch.float64)
    if learn_scale:
        scale = torch.tensor([0.5, 1.0, 2.0, 0.25], dtype=torch.float64)
        layer.scale.data.copy_(-scale)  # its size counts
    q, k, v = operands(1, 8, 5, 6)
    heads = loop_attention(q, k, v, num_heads=4, window_size=3, dilations=(1, 2))
    expected = heads * scale.repeat_interleave(2).view(1, -1, 1, 1)
    for channel in range(8):
        rate = (1, 2)[channel // 4]
        padded = torch.nn.functional.pad(v[:, channel], (rate,) * 4)
        for a in range(3):
            for b in range(3):
                window = padded[:, a * rate : a * rate + 5, b * rate : b * rate + 6]
                weight = layer.rel_bias.weight[channel, 0, a, b]
                expected[:, channel] = expected[:, channel] + weight * window
    torch.testing.assert_close(layer.mix(q, k, v), expected, **close)


def test_layer_reads_and_sends_spikes():
    torch.manual_seed(0)
    layer = LSSSA(16, 4, scale=4.0, **UNIT)
    assert not layer.rel_bias.weight.any()
    seen = []
    for name in ('q_neuron', 'k_neuron', 'v_neuron', 'attn_neuron'):
        module = getattr(layer, name)
        module.register_forward_hook(lambda m, args, out: seen.append((m, out)))
    x = torch.randint(0, 2, (4, 16, 7, 9)).float()
    assert layer(x).shape == x.shape
    assert [m.v_threshold for m, _ in seen] == [1, 1, 1, 0.5]
    for _, out in seen:
        assert out.unique().tolist() == [0, 1]


@pytest.mark.parametrize('levels', [1, 4])
def test_counted_operations(levels):
    neuron_cfg = dict(type='IntegerLIF', levels=levels)
    layer = LSSSA(8, 4, dilations=(1, 6), **{**UNIT, 'neuron_cfg': neuron_cfg})
    q, k, v = spikes(4, 8, 5, 4, levels=levels)
    expected = dict(qk=0, av=0)
    for channel in range(8):
        rate = (1, 6)[channel // 4]
        for y in range(5):
            for x in range(4):
                window = sum(
                    0 <= y + rate * a < 5 and 0 <= x + rate * b < 4
                    for a in (-1, 0, 1)
                    for b in (-1, 0, 1)
                )
                for name, operand in (('qk', q), ('av', v)):
                    count = operand[:, channel, y, x].sum() * levels
                    expected[name] += round(count.item()) * window
    counted = layer.count_ops(*(x * levels for x in (q, k, v)))
    assert {name: count.sops for name, count in counted.items()} == expected
    assert counted['av'].mean_count == pytest.approx((v * levels).mean().item())


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(window_size=2), 'odd window_size.*window_size=2'),
        (dict(window_size=-1), 'odd window_size'),
        (dict(window_size=3.0), 'odd window_size'),
        (dict(dilations=()), 'dilations of integers >= 1'),
        (dict(dilations=(0, 1)), 'dilations of integers >= 1'),
        (dict(dilations=(1, 2, 3)), 'multiple of the number of dilations'),
        (dict(num_heads=5), 'num_heads to divide'),
        (dict(num_heads=0), 'num_heads'),
        (dict(num_heads=4.0), 'num_heads'),
    ],
)
def test_bad_windows_dilations_and_heads(changes, message):
    settings = dict(dim=16, num_heads=4, dilations=(1, 2)) | changes
    if settings['num_heads'] == 5:
        settings['dilations'] = (1,)
    with pytest.raises(ValueError, match=message):
        LSSSA(**settings, **UNIT)
    operand = torch.zeros(1, settings.pop('dim'), 3, 3)
    with pytest.raises(ValueError, match=message):
        window_attention(operand, operand, operand, **dict(window_size=3) | settings)


def test_local_mixer_has_the_window_without_attention():
    torch.manual_seed(0)
    layer = LocalMixer(8, window_size=3, dilations=(1, 2), **UNIT)
    x = torch.randint(0, 2, (4, 8, 7, 9)).float().requires_grad_()
    out = layer(x)
    assert out.shape == x.shape
    (grad,) = torch.autograd.grad(layer.eval()(x)[..., 3, 4].sum(), x)
    reached = grad.abs().sum((0, 1)).nonzero().tolist()
    near = [[y, z] for y in (2, 3, 4) for z in (3, 4, 5)]
    far = [[y, z] for y in (1, 3, 5) for z in (2, 4, 6)]
    assert all(position in near + far for position in reached)
    assert [1, 2] in reached and [2, 3] in reached
