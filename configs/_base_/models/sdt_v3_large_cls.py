# Classifier of SDT-V3 large: a Linear layer on the pooled membranes, not on spikes
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='snndense.SDTV3Large',
        arch='83m',
        drop_path_rate=0.1,
        out_indices=(3,),
        out_mode='sequence',
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='snndense.SpikeLinearClsHead',
        num_classes=1000,
        in_channels=512,
        neuron_cfg=None,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform', bias=0.0),
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    ),
)
