# A small Meta-SDT with the SRB mixer on the digit scenes: the demo
_base_ = [
    '../_base_/models/mask-rcnn_spike.py',
    '../_base_/datasets/digits_instance.py',
    'mmdet::_base_/default_runtime.py',
]

norm_cfg = dict(type='BN')
model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.MetaSDT',
        arch='t',
        embed_dims=(16, 32, 64, 64),
        depths=(1, 1, 1, 2, 1),
        mixer='srb',
        out_indices=(1, 2, 3, 4),
        out_mode='sequence',
    ),
    neck=dict(
        in_channels=[16, 32, 64, 64], out_channels=64, num_outs=4, norm_cfg=norm_cfg
    ),
    # Anchor sides 5 x (4, 6, 8, 12) = 20, 30, 40, 60 pixels: digits are 23 to 64 high
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(
            scales=[5],
            ratios=[1.0, 2.0],
            strides=[4, 8, 16, 16],
            base_sizes=[4, 6, 8, 12],
        ),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, featmap_strides=[4, 8, 16, 16]),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=10),
        mask_roi_extractor=dict(out_channels=64, featmap_strides=[4, 8, 16, 16]),
        mask_head=dict(
            num_convs=2,
            in_channels=64,
            conv_out_channels=64,
            num_classes=10,
            norm_cfg=norm_cfg,
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=50),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(max_per_img=20)),
)

max_epochs = 6
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
        eta_min=1e-5,
    ),
]
default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=1),
)
auto_scale_lr = dict(base_batch_size=8)
