# Spikformer 2-256 with 8 heads on DVS128 Gesture, 16 steps. The published code has no
# recipe for this set: this is the one for CIFAR10-DVS without flips
_base_ = [
    '../_base_/models/spikformer_cls.py',
    '../_base_/datasets/dvs128_gesture.py',
    '../_base_/pipelines/events_trivial-augment.py',
    '../_base_/schedules/spikformer_events.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(backbone=dict(num_heads=8, time_steps=16), head=dict(num_classes=11))
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

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='snndense.LoadEventFrames'),
            _base_.event_choice,
            dict(type='PackInputs'),
        ]
    )
)
