"""Port of SDT-V3 large, a whole classifier of two heads."""

from torch import Tensor, nn

from snndense.checkpoints.sdt_v3_large import SDT_V3_LARGE_CLASSIFIER
from snndense.models.backbones import SDTV3Large

from .fixture import Fixture
from .port import Port, register_port


@register_port(
    'Model_Large/spikformer.py:Spikformer', 'models/sdtv3_large.py:Spikformer'
)
def whole_model(fixture: Fixture) -> Port:
    # the heads need mmpretrain, which the backbone does without
    from mmpretrain.models.necks import GlobalAveragePooling

    from snndense.models.cls import SpikeLinearClsHead

    kw, variant = fixture.kwargs, fixture.variant
    neuron_cfg = dict(
        type='IntegerLIF',
        levels=variant['levels'],
        rounding=variant['rounding'],
        tau=1,
    )
    backbone = SDTV3Large(
        dict(
            embed_dims=tuple(kw['embed_dim']),
            depths=(1, 1, 2, kw['depths']),
            num_heads=kw['num_heads'],
            mlp_ratio=kw['mlp_ratios'],
            with_rep_conv=kw['choice'] == 'base',
        ),
        neuron_cfg=neuron_cfg,
        drop_path_rate=kw['drop_path_rate'],
        out_indices=(3,),
        out_mode='sequence',
    )
    head = SpikeLinearClsHead(
        kw['num_classes'],
        backbone.out_channels[-1],
        neuron_cfg=dict(neuron_cfg, norm=1),
        with_kd_head=kw['kd'],
        fc_reads_membranes=True,
    )
    module = nn.ModuleDict(dict(backbone=backbone, head=head))
    pool = GlobalAveragePooling()

    def forward(inputs: list[Tensor]) -> list[Tensor]:
        features = pool(backbone(inputs[0]))
        if head.training:
            return list(head.forward_pair(features))
        return [head(features)]

    return Port(module, SDT_V3_LARGE_CLASSIFIER, forward)
