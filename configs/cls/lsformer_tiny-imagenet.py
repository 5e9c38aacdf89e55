# LSFormer (re-design), four time steps, on Tiny-ImageNet
_base_ = [
    '../_base_/models/spikformer_cls.py',
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/schedules/spikformer_310e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.LSFormer',
        arch='tiny',
        out_indices=(3,),
        out_type='spike',
    ),
    head=dict(num_classes=200, in_channels=384),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.5)),
)
custom_hooks = [
    dict(
        type='SwitchRecipeHook',
        schedule=[dict(action_epoch=201, batch_augments=None)],
    )
]

max_epochs = 300
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = _base_.param_scheduler
param_scheduler[0].start_factor = 0.01  # from 1e-5
train_cfg = dict(max_epochs=max_epochs)
