"""Ports of the published segmentation neck and head."""

from torch import Tensor

from snndense.checkpoints.seg_heads import SEG_HEADS
from snndense.models.seg import SpikeFPNHead, SpikeSegFPN

from .fixture import Fixture
from .port import Port, register_port


def neuron_cfg_of(fixture: Fixture) -> dict:
    """LIF for the ``*_SNN`` classes; else integers, divided in one repository."""
    if fixture.upstream_class.endswith('_SNN'):
        return dict(type='LIF')
    # the ST-ERF copy accepts T and ignores it, the SDT-V3 copy divides by it
    divides = fixture.upstream_path.startswith('SDT_V3/')
    norm = fixture.kwargs['T'] if divides else 1
    return dict(type='IntegerLIF', levels=4, norm=norm)


def options_of(fixture: Fixture) -> dict:
    """Constructor arguments, with T in our words."""
    kwargs = {k: v for k, v in fixture.kwargs.items() if k not in ('T', 'norm_cfg')}
    shape = fixture.input_shapes[0]
    kwargs['time_steps'] = shape[0] if len(shape) == 5 else 1
    return kwargs


def fold(inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """``(T, N, ...)`` to ``(T*N, ...)``; 4-D maps as they are."""
    return tuple(x.flatten(0, 1) if x.dim() == 5 else x for x in inputs)


@register_port('QFPN', 'FPN_SNN')
def neck(fixture: Fixture) -> Port:
    norm_cfg = None if fixture.upstream_class == 'FPN_SNN' else dict(type='BN')
    module = SpikeSegFPN(
        neuron_cfg=neuron_cfg_of(fixture), norm_cfg=norm_cfg, **options_of(fixture)
    )
    return Port(module, SEG_HEADS, lambda inputs: module(fold(inputs)))


@register_port('QFPNHead', 'FPNHead_SNN')
def head(fixture: Fixture) -> Port:
    options = {**options_of(fixture), 'dropout_ratio': 0.0}  # upstream: skipped
    module = SpikeFPNHead(neuron_cfg=neuron_cfg_of(fixture), **options)
    return Port(module, SEG_HEADS, lambda inputs: [module(fold(inputs))])
