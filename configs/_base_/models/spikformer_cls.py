# Classifier of Spikformer: a Linear layer reads the mean of the last block's spikes
model = dict(
    type='ImageClassifier',
    backbone=dict(type='snndense.Spikformer', arch='dvs_2_256'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=256,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
    ),
)
