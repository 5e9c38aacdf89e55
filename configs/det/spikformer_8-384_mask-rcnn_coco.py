# Spikformer 8-384, four time steps, under the stock Mask R-CNN: only it spikes. The
# neck makes its pyramid of the single map of stride 16, as ViTDet's does.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.Spikformer',
        arch='8_384',
        time_steps=4,
        out_indices=(3,),
        with_cp=True,
    ),
    neck=dict(
        _delete_=True,
        type='snndense.SimpleFeaturePyramid',
        in_channels=[384],
        out_channels=256,
        num_outs=5,  # strides 4, 8, 16, 32, 64
    ),
)

train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=16)  # 8 GPUs x 2 images
