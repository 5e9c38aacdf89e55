# LSFormer (re-design) h-t; Mask R-CNN with spiking neck and heads
_base_ = [
    '../_base_/models/mask-rcnn_spike.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.LSFormer',
        arch='h-t',
        # one step on integers 0..4
        time_steps=1,
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=4),
        out_type='membrane',
        out_mode='sequence',
    ),
    neck=dict(in_channels=[64, 128, 256, 384]),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    # pooling gains don't decay either
    paramwise_cfg=dict(flat_decay_mult=0.0),
)
