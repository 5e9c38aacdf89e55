# SpikingResformer S, four time steps; Mask R-CNN with spiking neck and heads
_base_ = [
    '../_base_/models/mask-rcnn_spike.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
]

time_steps = 4
neuron_cfg = dict(type='snndense.LIF', surrogate='atan')
spiking = dict(time_steps=time_steps, neuron_cfg=neuron_cfg)
model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.SpikingResformer',
        arch='s',
        time_steps=time_steps,
        out_indices=(0, 1, 2, 3),  # the fourth map downsamples the third
        out_mode='sequence',
        with_cp=True,
    ),
    neck=dict(in_channels=[64, 256, 512, 1024], **spiking),
    rpn_head=spiking,
    roi_head=dict(
        bbox_roi_extractor=dict(time_steps=time_steps),
        bbox_head=spiking,
        mask_roi_extractor=dict(time_steps=time_steps),
        mask_head=spiking,
    ),
)

train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=16)  # 8 GPUs x 2 images
