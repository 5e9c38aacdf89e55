import pytest
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import RetinaHead, RPNHead

from snndense.models.det import SpikeRetinaHead, SpikeRPNHead

LIF = dict(type='snndense.LIF')
STEPS, BATCH = 3, 2
RPN = dict(in_channels=4, feat_channels=6)
RETINA = dict(num_classes=3, in_channels=4, feat_channels=6, stacked_convs=2)


def level():
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.randn(STEPS * BATCH, 4, 8, 6, generator=generator)


def spread(head):
    """Weights large enough for every neuron to fire."""
    torch.manual_seed(0)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return head


@pytest.mark.parametrize('num_convs', [1, 2])
def test_rpn_formula(lif_reference, num_convs):
    head = SpikeRPNHead(**RPN, num_convs=num_convs, time_steps=STEPS, neuron_cfg=LIF)
    spread(head)
    x = level().unflatten(0, (STEPS, BATCH))
    if num_convs == 1:
        x = [
            head.rpn_conv.__class__.forward(head.rpn_conv, s) for s in lif_reference(x)
        ]
    else:
        for module in head.rpn_conv:
            x = torch.stack([F.relu(module.conv(s)) for s in lif_reference(x)])
    spikes = lif_reference(x)
    assert 0.05 < spikes.mean() < 0.95
    expected = [
        torch.stack([F.conv2d(s, conv.weight, conv.bias) for s in spikes])
        for conv in (head.rpn_cls, head.rpn_reg)
    ]
    for output, reference in zip(
        head.forward_single_sequence(level()), expected, strict=True
    ):
        torch.testing.assert_close(output, reference.flatten(0, 1))
    for output, reference in zip(head.forward_single(level()), expected, strict=True):
        torch.testing.assert_close(output, reference.mean(0))


@pytest.mark.parametrize('share_last_neuron', [False, True])
def test_retina_formula(lif_reference, share_last_neuron):
    head = SpikeRetinaHead(
        **RETINA, time_steps=STEPS, share_last_neuron=share_last_neuron
    )
    spread(head)
    branches = []
    for convs in (head.cls_convs, head.reg_convs):
        x = level().unflatten(0, (STEPS, BATCH))
        for module in convs:
            x = torch.stack([F.relu(module.conv(s)) for s in lif_reference(x)])
        branches.append(x)
    apart = [lif_reference(x) for x in branches]
    # the regression branch starts from the membrane that the other one left
    leaked = lif_reference(torch.cat(branches)).chunk(2)
    assert torch.equal(apart[0], leaked[0]) and not torch.equal(apart[1], leaked[1])
    expected = [
        torch.stack([F.conv2d(s, conv.weight, conv.bias, padding=1) for s in spikes])
        for spikes, conv in zip(
            leaked if share_last_neuron else apart,
            (head.retina_cls, head.retina_reg),
            strict=True,
        )
    ]
    for output, reference in zip(
        head.forward_single_sequence(level()), expected, strict=True
    ):
        torch.testing.assert_close(output, reference.flatten(0, 1))
    for output, reference in zip(head.forward_single(level()), expected, strict=True):
        torch.testing.assert_close(output, reference.mean(0))


@pytest.mark.parametrize(
    'stock, spiking, kwargs',
    [
        (RPNHead, SpikeRPNHead, RPN),
        (RPNHead, SpikeRPNHead, dict(RPN, num_convs=2)),
        (RetinaHead, SpikeRetinaHead, RETINA),
        (RetinaHead, SpikeRetinaHead, dict(RETINA, norm_cfg=dict(type='BN'))),
    ],
)
def test_keys_and_initial_weights_are_stock(stock, spiking, kwargs):
    states = []
    for head_class in (stock, spiking):
        torch.manual_seed(0)
        head = head_class(**kwargs)
        head.init_weights()
        states.append(head.state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_retina_starts_with_rare_objects():
    head = SpikeRetinaHead(**RETINA)
    head.init_weights()
    torch.testing.assert_close(head.retina_cls.bias.sigmoid().mean().item(), 0.01)


def test_learnable_neurons_are_parameters():
    neuron_cfg = dict(type='snndense.PLIF')
    head = spread(SpikeRPNHead(**RPN, time_steps=STEPS, neuron_cfg=neuron_cfg))
    sum(out.sum() for out in head.forward_single(level())).backward()
    learnable = {k: p for k, p in head.named_parameters() if k.endswith('neuron.w')}
    assert len(learnable) == 3
    assert all(p.grad is not None for p in learnable.values())


@pytest.mark.parametrize('head', [SpikeRPNHead(**RPN), SpikeRetinaHead(**RETINA)])
def test_runs_under_autocast(head):
    with torch.autocast('cpu', dtype=torch.bfloat16):
        outputs = head.forward_single(level())
    sum(out.float().sum() for out in outputs).backward()
    assert all(out.isfinite().all() for out in outputs)
    assert all(p.grad.isfinite().all() for p in head.parameters())
