"""SpikingResformer: what it promises beyond every backbone."""

import runpy
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from snndense.models.backbones import SpikingResformer, spiking_resformer_attention
from snndense.models.backbones.spiking_resformer_attention import DSSA
from snndense.models.layers import FiringRate

TESTS = Path(__file__).parents[1]
PLAIN = runpy.run_path(str(TESTS / 'reference/plain_dssa.py'))
TINY = dict(
    arch='ti',
    embed_dims=(8, 16, 32),
    depths=(1, 1, 1),
    num_heads=(1, 2, 4),
    group_size=8,
    time_steps=3,
)


def make_dssa(seed: int = 0, **overrides) -> DSSA:
    torch.manual_seed(seed)
    cfg = dict(
        num_tokens=None,
        pad_patches=True,
        published_rates=False,
        neuron_cfg=dict(type='LIF', surrogate='atan'),
        norm_cfg=dict(type='BN'),
        time_steps=3,
    )
    return DSSA(8, 2, 2, **{**cfg, **overrides})


def membranes(batch: int = 2, size: tuple = (9, 7)) -> Tensor:
    return torch.randn(3 * batch, 8, *size).mul_(2)


def make_trained_dssa(**overrides) -> DSSA:
    """In evaluation, with statistics under which all its neurons fire."""
    dssa = make_dssa(**overrides)
    for norm in (dssa.norm, dssa.proj.norm):
        norm.momentum = 1.0
        nn.init.constant_(norm.weight, 3.0)
    with torch.no_grad():
        dssa(membranes())
    return dssa.eval()


def step(model: nn.Module, x: Tensor) -> tuple[Tensor, dict, dict]:
    """Output, gradients (of the input too) and rates after a training step."""
    x = x.clone().requires_grad_(True)
    out = model(x)
    torch.manual_seed(7)
    (out * torch.randn_like(out)).sum().backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    return out.detach(), {'input': x.grad, **grads}, dict(model.named_buffers())


@pytest.mark.parametrize('neuron', ('LIF', 'PLIF'))
@pytest.mark.parametrize('block_bytes', (1, 3000, 20_000))
def test_blocks_equal_the_whole_map(neuron, block_bytes, monkeypatch):
    # 2 groups of 63 queries and 20 patches: single groups, uneven rows, all at once
    monkeypatch.setitem(spiking_resformer_attention.BLOCK_BYTES, 'cpu', block_bytes)
    monkeypatch.setattr(spiking_resformer_attention, 'MIN_ROWS', 5)
    blocked = make_dssa(neuron_cfg=dict(type=neuron)).double()
    plain = deepcopy(blocked)
    PLAIN['patch'](plain)
    x = membranes().double()
    out, grads, buffers = step(blocked, x)
    expected, expected_grads, expected_buffers = step(plain, x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    assert all(grad.count_nonzero() > 0 for grad in grads.values())
    for name, grad in expected_grads.items():
        torch.testing.assert_close(grads[name], grad, rtol=1e-10, atol=1e-12)
    for name, value in expected_buffers.items():
        torch.testing.assert_close(buffers[name], value)
    with torch.no_grad():
        torch.testing.assert_close(blocked.eval()(x), plain.eval()(x))


@pytest.mark.parametrize(
    'neuron_cfg',
    (
        dict(type='LIF'),
        dict(type='LIF', tau=3.0, decay_input=False, v_threshold=0.7),
        dict(type='LIF', v_reset=None),
        dict(type='LIF', v_reset=-0.5),
        dict(type='PLIF', init_tau=1.5),
        dict(type='PLIF', decay_input=False),
        dict(type='IF'),
    ),
    ids=lambda cfg: '-'.join(map(str, cfg.values())),
)
@pytest.mark.parametrize('block_bytes', (1, 3000))
def test_evaluation_equals_what_a_hook_on_the_neuron_sees(
    neuron_cfg, block_bytes, monkeypatch
):
    monkeypatch.setitem(spiking_resformer_attention.BLOCK_BYTES, 'cpu', block_bytes)
    monkeypatch.setattr(spiking_resformer_attention, 'MIN_ROWS', 5)
    dssa = make_trained_dssa(neuron_cfg=neuron_cfg).double()
    x, seen = membranes().double(), []
    with torch.no_grad():
        out = dssa(x)
        # then the neuron is run as a module, on all steps of a block
        dssa.attn_neuron.register_forward_hook(lambda m, x, y: seen.append(y.sum()))
        expected = dssa(x)
    assert sum(seen) > 0 and expected.count_nonzero() > 0
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


def test_compiling_reads_no_number_from_a_learned_neuron():
    dssa, x = make_trained_dssa(neuron_cfg=dict(type='PLIF')), membranes()
    with torch.no_grad():
        reasons = [str(b.reason) for b in torch._dynamo.explain(dssa)(x).break_reasons]
    torch._dynamo.reset()
    assert not [reason for reason in reasons if '.item()' in reason]


def test_only_a_block_of_the_map_exists(monkeypatch):
    rows, patches = 7, 20
    row_bytes = 3 * patches * 4  # T, float32
    monkeypatch.setitem(
        spiking_resformer_attention.BLOCK_BYTES, 'cpu', rows * row_bytes
    )
    monkeypatch.setattr(spiking_resformer_attention, 'MIN_ROWS', 1)
    dssa = make_dssa()
    sizes = []
    dssa.attn_neuron.register_forward_hook(lambda m, x, y: sizes.append(y.nbytes))
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda x: kept.append(x.shape) or x, lambda x: x
    )
    with hooks:
        out = dssa(membranes())
    num_blocks = len(sizes)
    assert num_blocks == 4 * 9  # 2 samples x 2 heads, 63 queries
    assert patches not in {n for shape in kept for n in shape[:-1]}
    out.sum().backward()
    assert len(sizes) == 2 * num_blocks and max(sizes) == rows * row_bytes


def test_borders_that_fill_no_patch():
    padding, cutting = make_trained_dssa(), make_trained_dssa(pad_patches=False)
    cutting.load_state_dict(padding.state_dict())
    x = membranes(1, (9, 7))
    changed = x.clone()
    changed[:, :, -1] = 9.0
    with torch.no_grad():
        even = x[:, :, :8, :6]
        assert torch.equal(padding(even), cutting(even))
        # the last row of an odd height reaches other pixels only if it is padded
        assert not torch.equal(padding(x)[:, :, :8], padding(changed)[:, :, :8])
        assert torch.equal(cutting(x)[:, :, :8], cutting(changed)[:, :, :8])


def test_scale_follows_the_input_unless_the_training_size_is_given():
    free = SpikingResformer(**TINY).eval()
    fixed = SpikingResformer(**TINY, train_img_size=64).eval()
    for model in (free, fixed):
        for module in model.modules():
            if isinstance(module, FiringRate):
                module.value.fill_(0.05)
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.bias)
    fixed.load_state_dict(free.state_dict())
    small, large = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 128, 96)
    with torch.no_grad():
        pairs = list(zip(free(small), fixed(small), strict=True))
        assert all(torch.equal(x, y) for x, y in pairs)
        assert not torch.equal(free(large)[-1], fixed(large)[-1])
    with pytest.raises(ValueError, match='train_img_size=15'):
        SpikingResformer(**TINY, train_img_size=15)


def test_unset_rates_count_as_firing_always():
    fresh, published = make_trained_dssa(), make_trained_dssa(published_rates=True)
    spikes = {}
    for dssa in (fresh, published):
        dssa.query_rate.value.zero_()
        dssa.attn_rate.value.zero_()
        dssa.attn_neuron.register_forward_hook(
            lambda m, x, y: spikes.setdefault(m, y.unflatten(0, (3, -1)))
        )
    x = membranes(1)
    with torch.no_grad():
        assert fresh(x).isfinite().all()
        published(x)
    assert torch.equal(fresh.query_rate.scale(4), torch.full((2,), 0.5))
    assert 0.05 < spikes[fresh.attn_neuron].mean() < 0.5
    # with infinite currents a neuron fires at once and then never again
    assert spikes[published.attn_neuron][1:].sum() == 0


@pytest.mark.parametrize('published', (False, True))
def test_a_silent_head_and_its_gradients(published):
    dssa = make_dssa(published_rates=published)
    x = membranes()
    x[:, :4] = -1.0  # the first head
    x.requires_grad_(True)
    dssa(x).sum().backward()
    grads = [x.grad, *(p.grad for p in dssa.parameters())]
    # the published computation is known to give NaN; the switch reproduces it
    assert all(grad.isfinite().all() for grad in grads) != published
    assert dssa.query_rate.value[0] == 0 and dssa.query_rate.value[1] > 0
    with torch.no_grad():
        dssa(membranes())
    rate = dssa.query_rate.value[0].item()
    # the first batch with spikes sets the rate; published: it creeps up from 0
    assert rate < 0.001 if published else rate > 0.1


def test_a_head_that_fell_silent_long_ago_trains_in_half_precision():
    model = SpikingResformer(**TINY)
    for module in model.modules():
        if isinstance(module, FiringRate):
            module.value.fill_(1e-15)  # 35 thousand silent steps
            assert module.scale(64).half().isfinite().all()
        if isinstance(module, DSSA):
            module.neuron.register_forward_hook(lambda m, x, y: 0 * y)
    with torch.autocast('cpu', torch.float16):
        sum(y.float().mean() for y in model(torch.randn(1, 3, 64, 64))).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_rates_average_slowly_and_rest_in_evaluation():
    rate = FiringRate(2)
    rate.update(torch.tensor([2.0, 6.0]), 10)
    torch.testing.assert_close(rate.value, torch.tensor([0.2, 0.6]))
    rate.update(torch.tensor([12.0, 6.0]), 10)
    torch.testing.assert_close(rate.value, torch.tensor([0.201, 0.6]))
    dssa = make_dssa()
    dssa(membranes())
    before = deepcopy(dssa.state_dict())
    assert 0 < before['attn_rate.value'].min() < before['query_rate.value'].max() < 1
    dssa.eval()(membranes())
    after = dssa.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_checkpointing_recomputes_with_the_rates_of_its_own_forward():
    x, y = torch.randn(2, 3, 32, 32), 3 * torch.randn(2, 3, 32, 32)
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = SpikingResformer(**TINY, with_cp=with_cp)
        for module in model.modules():
            if isinstance(module, FiringRate):
                module.momentum = 0.5  # so that two batches differ
        # two passes, one backward
        loss = sum(out.sum() for z in (x, y) for out in model(z))
        loss.backward()
        values = {n: b.clone() for n, b in model.named_buffers()}
        grads.append(({n: p.grad for n, p in model.named_parameters()}, values))
    for plain, saving in zip(*grads, strict=True):
        for name, value in plain.items():
            torch.testing.assert_close(saving[name], value)


RANK_SCRIPT = """
import runpy, sys
import torch

test_file, folder, rank = sys.argv[1:]
torch.set_num_threads(1)
torch.distributed.init_process_group(
    'gloo', init_method=f'file://{folder}/store', rank=int(rank), world_size=2
)
make_dssa = runpy.run_path(test_file)['make_dssa']
inputs = torch.load(f'{folder}/inputs.pt')[int(rank)]
for published in (False, True):
    dssa = make_dssa(published_rates=published)
    dssa(inputs)
    rates = (dssa.query_rate.value, dssa.attn_rate.value)
    torch.save(rates, f'{folder}/{rank}_{published}.pt')
"""


def test_rates_are_averaged_over_ranks(tmp_path):
    torch.manual_seed(0)
    inputs = [membranes(2, (9, 7)), membranes(1, (4, 6)) + 1]  # sizes differ too
    torch.save(inputs, tmp_path / 'inputs.pt')
    command = [sys.executable, '-c', RANK_SCRIPT, __file__, str(tmp_path)]
    ranks = [subprocess.Popen([*command, rank]) for rank in '01']
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    first, second = (torch.load(tmp_path / f'{rank}_False.pt') for rank in range(2))
    apart = [torch.load(tmp_path / f'{rank}_True.pt') for rank in range(2)]
    for rate, same, of_first, of_second in zip(first, second, *apart, strict=True):
        assert torch.equal(rate, same)
        assert not torch.allclose(of_first, of_second)
    queries = [apart[rank][0] * x.numel() for rank, x in enumerate(inputs)]
    expected = sum(queries) / sum(x.numel() for x in inputs)
    torch.testing.assert_close(first[0], expected)


def test_a_still_picture_passes_the_stem_once():
    model = SpikingResformer(**TINY).eval()
    batches = []
    model.stem.register_forward_hook(lambda m, x, y: batches.append(len(x[0])))
    with torch.no_grad():
        model(torch.randn(2, 3, 32, 32))
        model(torch.randn(2, 3, 3, 32, 32))
    assert batches == [2, 2 * 3]


def test_fourth_map_exists_only_on_demand():
    three = SpikingResformer('s')
    four = SpikingResformer('s', out_indices=(0, 1, 2, 3))
    assert three.out_channels == (64, 256, 512)
    assert four.out_channels == (64, 256, 512, 1024)
    assert four.out_strides == (4, 8, 16, 32)
    extra = four.state_dict().keys() - three.state_dict().keys()
    assert extra and all(key.startswith('stages.3.downsample.') for key in extra)
    cifar = SpikingResformer('cifar', out_indices=(0, 1, 2, 3))
    assert cifar.out_strides == (1, 2, 4, 8)


def test_settings_that_do_not_fit_are_refused():
    for name, (value, message) in {
        'num_heads': ((1, 3, 4), 'multiples of num_heads'),
        'depths': ((1, 1), 'one entry per stage'),
        'group_size': (48, 'group_size=48'),
    }.items():
        with pytest.raises(ValueError, match=message):
            SpikingResformer(**{**TINY, name: value})
    settings = {**SpikingResformer.arch_settings['s'], 'stem': 'patchify'}
    with pytest.raises(ValueError, match="'patchify'"):
        SpikingResformer(settings)
