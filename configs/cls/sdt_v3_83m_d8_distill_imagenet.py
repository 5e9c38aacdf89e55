# As sdt_v3_83m_distill_imagenet.py, eight levels ("1x8")
_base_ = './sdt_v3_83m_distill_imagenet.py'

model = dict(
    backbone=dict(
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=8, rounding='half_up', tau=1)
    ),
    head=dict(neuron_cfg=dict(levels=8)),
)
