# Classifier of Meta-SDT and SDT-V3: spikes 0 to 4 of the pooled map, a Linear layer
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='snndense.MetaSDT', arch='l', out_indices=(4,), out_mode='sequence'
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='snndense.SpikeLinearClsHead',
        num_classes=1000,
        in_channels=360,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
