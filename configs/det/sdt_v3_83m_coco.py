# SDT-V3 83M; Mask R-CNN with spiking neck and heads
_base_ = [
    '../_base_/models/mask-rcnn_spike.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.SDTV3Large',
        arch='83m',
        out_indices=(1, 2, 3),  # strides 4, 8, 16
        out_mode='sequence',
        with_cp=True,
    ),
    # the fourth and fifth level are pooled: strides 32 and 64, as declared by the base
    neck=dict(in_channels=[128, 256, 512]),
)

train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=16)  # 8 GPUs x 2 images
