# SpikingResformer S, four time steps, under the stock Mask R-CNN: only it spikes
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.SpikingResformer',
        arch='s',
        time_steps=4,
        out_indices=(0, 1, 2, 3),  # the fourth map downsamples the third
        with_cp=True,
    ),
    neck=dict(in_channels=[64, 256, 512, 1024]),
)

train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=16)  # 8 GPUs x 2 images
