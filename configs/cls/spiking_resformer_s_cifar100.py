# SpikingResformer S, trained on ImageNet, on CIFAR100 at 128 x 128
_base_ = [
    '../_base_/recipes/spiking_resformer_s_cifar.py',
    '../_base_/datasets/cifar100_randaug.py',
]

model = dict(head=dict(num_classes=100))

enlarge = dict(type='Resize', scale=128, backend='pillow', interpolation='bicubic')
flip, augment, _, pack = _base_.train_pipeline
train_dataloader = dict(dataset=dict(pipeline=[enlarge, flip, augment, pack]))
val_dataloader = dict(dataset=dict(pipeline=[enlarge, pack]))
test_dataloader = val_dataloader

max_epochs = 150
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = max_epochs
train_cfg = dict(max_epochs=max_epochs)
