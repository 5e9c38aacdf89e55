# Classifier of SpikingResformer: a Linear layer without bias reads the mean membrane
model = dict(
    type='ImageClassifier',
    backbone=dict(type='snndense.SpikingResformer', arch='cifar', out_indices=(2,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='snndense.SpikeLinearClsHead',
        num_classes=10,
        in_channels=384,
        neuron_cfg=None,
        bias=False,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
