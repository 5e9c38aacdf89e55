# As sdt_v2_15m_coco.py, four time steps
_base_ = './sdt_v2_15m_coco.py'

time_steps = 4
# tau=1: integer neurons outside the backbone do not remember the step before
neuron_cfg = dict(type='snndense.IntegerLIF', levels=4, norm=1, tau=1.0)
spiking = dict(time_steps=time_steps, neuron_cfg=neuron_cfg)
model = dict(
    backbone=dict(time_steps=time_steps),
    neck=spiking,
    rpn_head=spiking,
    roi_head=dict(
        bbox_roi_extractor=dict(time_steps=time_steps),
        bbox_head=spiking,
        mask_roi_extractor=dict(time_steps=time_steps),
        mask_head=spiking,
    ),
)
