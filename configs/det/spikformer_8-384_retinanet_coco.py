# Spikformer 8-384, four time steps, under the stock RetinaNet: only it spikes. Its
# pyramid starts with the spikes of the patch embedding.
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
        type='snndense.Spikformer',
        arch='8_384',
        time_steps=4,
        out_indices=(2, 3),
        with_cp=True,
    ),
    # taps of stride 8 and 16, then three levels that halve the last:
    # 8, 16, 32, 64, 128
    neck=dict(in_channels=[192, 384], start_level=0, add_extra_convs='on_output'),
)

train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=16)  # 8 GPUs x 2 images
