# A small Meta-SDT with the SRB mixer on the digit scenes, semantic FPN
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
        embed_dims=(16, 32, 64, 64),
        depths=(1, 1, 1, 2, 1),
        mixer='srb',
        out_indices=(0, 1, 2, 4),
        out_mode='sequence',
    ),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=32),
    decode_head=dict(in_channels=[32, 32, 32, 32], channels=32, num_classes=11),
)

max_iters = 1500
train_cfg = dict(max_iters=max_iters, val_interval=300)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01),
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
    logger=dict(interval=20), checkpoint=dict(interval=300, max_keep_ckpts=1)
)
auto_scale_lr = dict(base_batch_size=8)
