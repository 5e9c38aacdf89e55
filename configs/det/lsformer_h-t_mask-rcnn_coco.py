# LSFormer (re-design) h-t under the stock Mask R-CNN: only the backbone spikes
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
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
        out_type='norm',
    ),
    neck=dict(in_channels=[64, 128, 256, 384]),
)
# as in lsformer_h-t_coco.py
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(flat_decay_mult=0.0))
