"""Ports of the published spiking detection neck and heads."""

from collections.abc import Callable, Sequence

from mmdet.models.roi_heads import StandardRoIHead
from torch import Tensor

from snndense.checkpoints.dense_heads import DETECTOR
from snndense.models import det

from .fixture import Fixture
from .port import Port, register_port

#: The published integer neuron forgets its membrane between steps.
NEURON = dict(type='snndense.IntegerLIF', levels=4, norm=1, tau=1.0)
#: That of the neck trains with four levels and evaluates with one.
NECK_NEURON = dict(NEURON, levels=1, train_levels=4)


def fold(inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Recorded maps are ``(T, N, C, H, W)``, ours ``(T*N, C, H, W)``."""
    return tuple(x.flatten(0, 1) for x in inputs)


def time_steps_of(fixture: Fixture) -> int:
    return fixture.input_shapes[0][0]


def spiking_cfg(fixture: Fixture) -> dict:
    return dict(time_steps=time_steps_of(fixture), neuron_cfg=NEURON)


def on_levels(
    forward_single: Callable[[Tensor], Sequence[Tensor]],
) -> Callable[[list[Tensor]], list[Tensor]]:
    """Scores and deltas of a dense head, level by level."""
    return lambda inputs: [out for x in fold(inputs) for out in forward_single(x)]


@register_port('SpikeFPN')
def fpn(fixture: Fixture) -> Port:
    module = det.SpikeFPN(
        **fixture.kwargs, time_steps=time_steps_of(fixture), neuron_cfg=NECK_NEURON
    )
    return Port(
        module,
        DETECTOR,
        lambda inputs: module(fold(inputs)),
        upstream_prefix='neck.',
        prefix='neck.',
    )


@register_port('SpikeRPNHead')
def rpn_head(fixture: Fixture) -> Port:
    module = det.SpikeRPNHead(**fixture.kwargs, **spiking_cfg(fixture))
    return Port(
        module,
        DETECTOR,
        on_levels(module.forward_single_sequence),
        on_levels(module.forward_single),
        upstream_prefix='rpn_head.',
        prefix='rpn_head.',
    )


@register_port('SpikeRetinaHead')
def retina_head(fixture: Fixture) -> Port:
    module = det.SpikeRetinaHead(
        **fixture.kwargs, time_steps=time_steps_of(fixture), share_last_neuron=True
    )
    return Port(
        module,
        DETECTOR,
        on_levels(module.forward_single_sequence),
        on_levels(module.forward_single),
        upstream_prefix='bbox_head.',
        prefix='bbox_head.',
    )


@register_port('SharedSpike2FCBBoxHead', 'SharedSpike4Conv1FCBBoxHead')
def bbox_head(fixture: Fixture) -> Port:
    head = getattr(det, fixture.upstream_class)
    module = head(**fixture.kwargs, **spiking_cfg(fixture))
    return Port(
        module,
        DETECTOR,
        lambda inputs: module.forward_sequence(*fold(inputs)),
        lambda inputs: module(*fold(inputs)),
        upstream_prefix='roi_head.bbox_head.',
        prefix='roi_head.bbox_head.',
    )


@register_port('SpikeFCNMaskHead')
def mask_head(fixture: Fixture) -> Port:
    module = det.SpikeFCNMaskHead(**fixture.kwargs, **spiking_cfg(fixture))
    return Port(
        module,
        DETECTOR,
        lambda inputs: [module(*fold(inputs))],
        upstream_prefix='roi_head.mask_head.',
        prefix='roi_head.mask_head.',
    )


@register_port('SpikeStandardRoIHead')
def roi_head(fixture: Fixture) -> Port:
    parts = {name: dict(cfg) for name, cfg in fixture.kwargs.items()}
    for name in ('bbox_roi_extractor', 'mask_roi_extractor'):
        parts[name]['type'] = 'snndense.SpikeSingleRoIExtractor'
        parts[name]['time_steps'] = time_steps_of(fixture)
    for name in ('bbox_head', 'mask_head'):
        parts[name]['type'] = f'snndense.{parts[name]["type"]}'
        parts[name].update(spiking_cfg(fixture))
    module = StandardRoIHead(**parts)
    rois = fixture.rois

    def forward(inputs: list[Tensor]) -> list[Tensor]:
        maps = fold(inputs)
        extractor = module.bbox_roi_extractor
        features = extractor(maps[: extractor.num_inputs], rois)
        cls_score, bbox_pred = module.bbox_head.forward_sequence(features)
        mask_preds = module._mask_forward(maps, rois)['mask_preds']
        return [cls_score, bbox_pred, mask_preds]

    def forward_mean(inputs: list[Tensor]) -> list[Tensor]:
        results = module._bbox_forward(fold(inputs), rois)
        return [results['cls_score'], results['bbox_pred']]

    return Port(
        module,
        DETECTOR,
        forward,
        forward_mean,
        upstream_prefix='roi_head.',
        prefix='roi_head.',
    )
