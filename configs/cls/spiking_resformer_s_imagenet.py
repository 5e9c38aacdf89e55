# SpikingResformer S, four time steps
_base_ = [
    '../_base_/models/spiking_resformer_cls.py',
    '../_base_/datasets/imagenet_spiking_resformer_224.py',
    '../_base_/schedules/spiking_resformer_320e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(arch='s'),
    head=dict(
        num_classes=1000,
        in_channels=512,
        loss=dict(
            _delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.2), dict(type='CutMix', alpha=1.0)]
    ),
)
