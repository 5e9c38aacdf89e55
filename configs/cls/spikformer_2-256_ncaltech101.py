# Spikformer 2-256 on N-Caltech101 at 128 x 128, 16 steps. Nothing is published for this
# set: the recipe is the one for CIFAR10-DVS
_base_ = [
    '../_base_/models/spikformer_cls.py',
    '../_base_/datasets/ncaltech101.py',
    '../_base_/pipelines/events_trivial-augment.py',
    '../_base_/schedules/spikformer_events.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(backbone=dict(time_steps=16), head=dict(num_classes=101))
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

resize = dict(type='snndense.EventResize', scale=128, mode='bilinear')
load, *augment = _base_.event_train_pipeline
train_dataloader = dict(dataset=dict(pipeline=[load, resize, *augment]))
val_dataloader = dict(dataset=dict(pipeline=[load, resize, dict(type='PackInputs')]))
test_dataloader = val_dataloader
