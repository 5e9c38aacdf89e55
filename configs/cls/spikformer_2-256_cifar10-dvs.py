# Spikformer 2-256 on CIFAR10-DVS, 16 steps
_base_ = [
    '../_base_/models/spikformer_cls.py',
    '../_base_/datasets/cifar10_dvs.py',
    '../_base_/pipelines/events_trivial-augment.py',
    '../_base_/schedules/spikformer_events.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(backbone=dict(time_steps=16))
# Mixup for every other batch of the first 75 epochs
data_preprocessor = dict(
    batch_augments=dict(augments=dict(type='Mixup', alpha=0.5), probs=0.5)
)
custom_hooks = [
    dict(
        type='SwitchRecipeHook',
        schedule=[dict(action_epoch=76, batch_augments=None)],
    )
]

train_dataloader = dict(dataset=dict(pipeline=_base_.event_train_pipeline))
