# A small Meta-SDT with the SRB mixer on single digits, 64 x 64: the demo
_base_ = [
    '../_base_/models/meta_sdt_cls.py',
    '../_base_/datasets/digits_classification.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        arch='t', embed_dims=(16, 48, 96, 128), depths=(1, 1, 1, 1, 1), mixer='srb'
    ),
    head=dict(num_classes=10, in_channels=128),
)

max_epochs = 8
warmup_epochs = 1
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.005,
        by_epoch=True,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
        eta_min=1e-5,
    ),
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(max_keep_ckpts=1))
auto_scale_lr = dict(base_batch_size=32)
