# Spikformer 4-384, four time steps, on CIFAR
_base_ = [
    '../models/spikformer_cls.py',
    '../schedules/spikformer_310e.py',
    '../classification_runtime.py',
]

model = dict(
    backbone=dict(arch='cifar_4_384'),
    head=dict(in_channels=384),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.5)),
)
custom_hooks = [
    dict(
        type='SwitchRecipeHook',
        schedule=[dict(action_epoch=201, batch_augments=None)],
    )
]
