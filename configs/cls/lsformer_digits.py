# A small LSFormer (re-design) on single digits, 64 x 64: minutes on one CPU core
_base_ = [
    '../_base_/datasets/digits_classification.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='snndense.LSFormer',
        # strides 2, 4 and 8; attention over 32 x 32, 16 x 16 and 8 x 8 tokens
        arch=dict(
            stem=(3, 1),
            embed_dims=(16, 32, 64),
            pools=(True, True, True),
            depths=(1, 1, 2),
            num_heads=(2, 4, 4),
            dilations=((1, 2), (1, 2, 3, 4), (1, 2, 3, 4)),
            mlp_ratio=4,
        ),
        time_steps=1,
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=4),
        out_indices=(2,),
        out_type='norm',  # with 'spike', at chance after 18000 pictures
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss'),
    ),
)

# small batches: many short steps learn more than half as many of 32 pictures
train_dataloader = dict(batch_size=16)
max_epochs = 3  # x 600 iterations
warmup_epochs = 1
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.003,
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
default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=1),
    logger=dict(interval=50),
)
auto_scale_lr = dict(base_batch_size=16)
