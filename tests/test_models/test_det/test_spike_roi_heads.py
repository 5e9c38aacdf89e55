import pytest
import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from snndense.models.det import (
    SharedSpike2FCBBoxHead,
    SharedSpike4Conv1FCBBoxHead,
    SpikeConvFCBBoxHead,
    SpikeFCNMaskHead,
    SpikeSingleRoIExtractor,
)

STEPS, ROIS = 3, 5
SPIKING = dict(time_steps=STEPS, neuron_cfg=dict(type='snndense.LIF'))
BOX = dict(in_channels=4, fc_out_channels=12, roi_feat_size=3, num_classes=3)
MASK = dict(num_convs=2, in_channels=4, conv_out_channels=6, num_classes=3)
EXTRACTOR = dict(
    roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=0),
    out_channels=4,
    featmap_strides=[4, 8],
    finest_scale=8,
)


def features(size=3, rois=ROIS):
    generator = torch.Generator().manual_seed(1)
    return 1 + 4 * torch.randn(STEPS * rois, 4, size, size, generator=generator)


def spread(head):
    """Weights large enough for every neuron to fire."""
    torch.manual_seed(0)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=1.0)
    return head


def pyramid(num_images=2):
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.randn(STEPS * num_images, 4, size, size, generator=generator)
        for size in (16, 8)
    )


RECTANGLES = torch.tensor(
    [[0, 2, 3, 12, 14.0], [1, 0, 0, 60, 50.0], [1, 30, 5, 44, 25.0]]
)


def test_extractor_equals_one_call_per_step():
    ours = SpikeSingleRoIExtractor(**EXTRACTOR, time_steps=STEPS)
    stock = SingleRoIExtractor(**EXTRACTOR)
    maps = pyramid()
    before = RECTANGLES.clone()
    expected = [
        stock(tuple(x.unflatten(0, (STEPS, 2))[t] for x in maps), RECTANGLES)
        for t in range(STEPS)
    ]
    torch.testing.assert_close(ours(maps, RECTANGLES), torch.cat(expected))
    scaled = stock(tuple(x[:2] for x in maps), RECTANGLES, roi_scale_factor=1.5)
    torch.testing.assert_close(ours(maps, RECTANGLES, 1.5)[:3], scaled)
    assert torch.equal(RECTANGLES, before)


def test_extractor_in_bfloat16():
    extractor = SpikeSingleRoIExtractor(**EXTRACTOR, time_steps=STEPS)
    maps = tuple(x.bfloat16() for x in pyramid())
    expected = extractor(tuple(x.float() for x in maps), RECTANGLES)
    assert torch.equal(extractor(maps, RECTANGLES), expected.bfloat16())


def test_extractor_without_rois_and_with_wrong_time():
    extractor = SpikeSingleRoIExtractor(**EXTRACTOR, time_steps=STEPS)
    assert extractor(pyramid(), RECTANGLES[:0]).shape == (0, 4, 3, 3)
    with pytest.raises(ValueError, match='time_steps'):
        extractor(tuple(x[:4] for x in pyramid()), RECTANGLES)


def fire_then(layer, lif, x_seq):
    spikes = lif(x_seq)
    assert 0.05 < spikes.mean() < 0.95  # or the comparison says nothing
    return torch.stack([layer(step) for step in spikes])


@pytest.mark.parametrize('with_avg_pool', [False, True])
@pytest.mark.parametrize('head_class', [SharedSpike2FCBBoxHead, SpikeConvFCBBoxHead])
def test_box_formula(lif_reference, head_class, with_avg_pool):
    branches = {}
    if head_class is SpikeConvFCBBoxHead:  # every kind of layer
        branches = dict(
            num_shared_convs=1, num_cls_convs=1, num_cls_fcs=1, num_reg_fcs=1
        )
        branches['conv_out_channels'] = 5
    head = head_class(**BOX, **branches, with_avg_pool=with_avg_pool, **SPIKING)
    spread(head)

    def run(x, convs, fcs):
        for module in convs:
            x = fire_then(lambda s, m=module: F.relu(m.conv(s)), lif_reference, x)
        if fcs and x.dim() == 5:
            if with_avg_pool:
                x = x.mean((-1, -2), keepdim=True)
            x = x.flatten(2)
        for fc in fcs:
            weights = fc.weight, fc.bias
            x = fire_then(lambda s, w=weights: F.linear(s, *w), lif_reference, x)
        return x

    x = features().unflatten(0, (STEPS, ROIS))
    x = run(x, head.shared_convs, head.shared_fcs)
    cls_score = head.fc_cls(run(x, head.cls_convs, head.cls_fcs))
    bbox_pred = head.fc_reg(run(x, head.reg_convs, head.reg_fcs))
    expected = [cls_score, bbox_pred]
    for output, reference in zip(
        head.forward_sequence(features()), expected, strict=True
    ):
        torch.testing.assert_close(output, reference.flatten(0, 1))
    for output, reference in zip(head(features()), expected, strict=True):
        torch.testing.assert_close(output, reference.mean(0))


def test_published_box_heads_have_their_layers():
    two_fc = SharedSpike2FCBBoxHead(**BOX)
    assert (len(two_fc.shared_convs), len(two_fc.shared_fcs)) == (0, 2)
    four_conv = SharedSpike4Conv1FCBBoxHead(**BOX)
    assert (len(four_conv.shared_convs), len(four_conv.shared_fcs)) == (4, 1)


def test_box_head_with_one_branch():
    head = SharedSpike2FCBBoxHead(**BOX, with_reg=False, **SPIKING)
    cls_score, bbox_pred = head(features())
    assert cls_score.shape == (ROIS, 4) and bbox_pred is None


@pytest.mark.parametrize('method', ['deconv', 'nearest', 'bilinear', None])
def test_mask_formula(lif_reference, method):
    cfg = dict(type=method) if method is None else dict(type=method, scale_factor=2)
    head = spread(SpikeFCNMaskHead(**MASK, upsample_cfg=cfg, **SPIKING))
    x = features(4).unflatten(0, (STEPS, ROIS))
    for module in head.convs:
        x = fire_then(lambda s, m=module: F.relu(m.conv(s)), lif_reference, x)
    if method == 'deconv':
        weights = head.upsample.weight, head.upsample.bias
        x = fire_then(
            lambda s: F.conv_transpose2d(s, *weights, stride=2), lif_reference, x
        )
    elif method is not None:
        corners = {} if method == 'nearest' else dict(align_corners=False)
        x = torch.stack(
            [F.interpolate(step, scale_factor=2, mode=method, **corners) for step in x]
        )
    logits = head.conv_logits.weight, head.conv_logits.bias
    expected = fire_then(lambda s: F.conv2d(s, *logits), lif_reference, x).mean(0)
    output = head(features(4))
    assert output.shape == (ROIS, 3, *([4, 4] if method is None else [8, 8]))
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize(
    'stock, spiking, kwargs',
    [
        (
            ConvFCBBoxHead,
            SpikeConvFCBBoxHead,
            dict(BOX, num_shared_convs=1, num_cls_fcs=1, num_reg_fcs=1),
        ),
        (FCNMaskHead, SpikeFCNMaskHead, MASK),
        (FCNMaskHead, SpikeFCNMaskHead, dict(MASK, norm_cfg=dict(type='BN'))),
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


def test_mask_upsampling_and_logits_are_initialised():
    head = SpikeFCNMaskHead(**MASK)
    head.init_weights()
    assert not head.upsample.bias.any() and not head.conv_logits.bias.any()


HEADS = {
    'box': (SharedSpike2FCBBoxHead, BOX),
    'box_conv': (SharedSpike4Conv1FCBBoxHead, BOX),
    'box_pool': (SharedSpike2FCBBoxHead, dict(BOX, with_avg_pool=True)),
    'mask': (SpikeFCNMaskHead, MASK),
}


@pytest.mark.parametrize('name', HEADS)
def test_no_roi_at_all(name):
    head_class, kwargs = HEADS[name]
    head = head_class(**kwargs, time_steps=STEPS)
    outputs = head(features(rois=0))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert all(len(out) == 0 for out in outputs)
    sum(out.sum() for out in outputs).backward()
    # distributed training waits for every parameter
    assert all(p.grad is not None for p in head.parameters())


@pytest.mark.parametrize('name', HEADS)
def test_runs_under_autocast(name):
    head_class, kwargs = HEADS[name]
    head = head_class(**kwargs, time_steps=STEPS)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        outputs = head(features())
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum(out.float().sum() for out in outputs).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())
