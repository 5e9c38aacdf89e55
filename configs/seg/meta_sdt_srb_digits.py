# A small Meta-SDT with the SRB mixer on the digit scenes: the demo
_base_ = [
    '../_base_/models/fpn_spike.py',
    '../_base_/datasets/digits_semantic.py',
    'mmseg::_base_/schedules/schedule_20k.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(size=_base_.image_size),
    backbone=dict(
        _delete_=True,
        type='snndense.MetaSDT',
        arch='t',
        embed_dims=(16, 48, 96, 128),
        depths=(1, 1, 1, 1, 1),
        mixer='srb',
        out_indices=(1, 2, 3, 4),
        out_mode='sequence',
    ),
    neck=dict(in_channels=[16, 48, 96, 128], out_channels=64),
    decode_head=dict(
        in_channels=[64, 64, 64, 64],
        feature_strides=[4, 8, 16, 16],
        channels=64,
        num_classes=11,
        # background is seven eighths of the pixels
        loss_decode=dict(
            type='CrossEntropyLoss', class_weight=[0.2, *[1.0] * 10], loss_weight=1.0
        ),
    ),
)

max_iters = 3000
train_cfg = dict(max_iters=max_iters, val_interval=500)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        begin=100,
        end=max_iters,
        by_epoch=False,
        eta_min=1e-5,
    ),
]
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=500, max_keep_ckpts=1)
)
auto_scale_lr = dict(base_batch_size=8)
