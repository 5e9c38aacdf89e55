# SpikingResformer S, four time steps, under the stock RetinaNet: only it spikes
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '../_base_/datasets/coco_detection_ms.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
    'mmdet::retinanet/retinanet_tta.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.SpikingResformer',
        arch='s',
        time_steps=4,
        with_cp=True,
    ),
    # the published taps of stride 8 and 16, then three levels that halve the last:
    # 8, 16, 32, 64, 128
    neck=dict(in_channels=[64, 256, 512], add_extra_convs='on_output'),
)

train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=16)  # 8 GPUs x 2 images
