# SpikingResformer, the model for CIFAR, on N-Caltech101 at 64 x 64, from scratch.
# Nothing is published for this set: the recipe is the one for CIFAR10-DVS
_base_ = [
    '../_base_/models/spiking_resformer_cls.py',
    '../_base_/datasets/ncaltech101.py',
    '../_base_/pipelines/events_roll-rotate-cutout.py',
    '../_base_/schedules/spiking_resformer_events.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(backbone=dict(time_steps=16), head=dict(num_classes=101))

train_dataloader = dict(
    batch_size=8, dataset=dict(pipeline=_base_.event_train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.event_test_pipeline))
test_dataloader = val_dataloader
