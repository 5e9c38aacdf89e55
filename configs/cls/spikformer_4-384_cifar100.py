# Spikformer 4-384, four time steps, on CIFAR100
_base_ = [
    '../_base_/models/spikformer_cls.py',
    '../_base_/datasets/cifar100_randaug.py',
    '../_base_/schedules/spikformer_310e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(arch='cifar_4_384'),
    head=dict(num_classes=100, in_channels=384),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.5)),
)
custom_hooks = [
    dict(
        type='SwitchRecipeHook',
        schedule=[dict(action_epoch=201, batch_augments=None)],
    )
]
