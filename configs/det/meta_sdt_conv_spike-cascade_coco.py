# As meta_sdt_conv_coco.py, with three box and mask heads in a cascade, 36 epochs
_base_ = [
    'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
]

bbox_heads = [
    dict(
        type='snndense.SharedSpike4Conv1FCBBoxHead',
        in_channels=256,
        conv_out_channels=256,
        fc_out_channels=1024,
        roi_feat_size=7,
        num_classes=80,
        norm_cfg=dict(type='BN'),  # upstream: SyncBN, which needs GPUs; same weights
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=stds,
        ),
        reg_class_agnostic=False,
        reg_decoded_bbox=True,
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
    )
    for stds in (
        [0.1, 0.1, 0.2, 0.2],
        [0.05, 0.05, 0.1, 0.1],
        [0.033, 0.033, 0.067, 0.067],
    )
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.MetaSDT',
        arch='l',
        mixer='conv',
        out_indices=(1, 2, 3, 4),
        out_mode='sequence',
    ),
    neck=dict(type='snndense.SpikeFPN', in_channels=[64, 128, 256, 360]),
    # strides and anchor sizes as in meta_sdt_srb_coco.py
    rpn_head=dict(
        type='snndense.SpikeRPNHead',
        anchor_generator=dict(
            strides=[4, 8, 16, 16, 32], base_sizes=[4, 8, 16, 32, 64]
        ),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            type='snndense.SpikeSingleRoIExtractor', featmap_strides=[4, 8, 16, 16]
        ),
        bbox_head=bbox_heads,
        mask_roi_extractor=dict(
            type='snndense.SpikeSingleRoIExtractor', featmap_strides=[4, 8, 16, 16]
        ),
        mask_head=dict(type='snndense.SpikeFCNMaskHead'),
    ),
)

max_epochs = 36
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(
        type='MultiStepLR',
        begin=0,
        end=max_epochs,
        by_epoch=True,
        milestones=[27, 33],
        gamma=0.1,
    ),
]
