# SpikingResformer S, trained on ImageNet, on CIFAR10 at 128 x 128
_base_ = [
    '../_base_/recipes/spiking_resformer_s_cifar.py',
    '../_base_/datasets/cifar10_randaug.py',
]

model = dict(head=dict(num_classes=10))

enlarge = dict(type='Resize', scale=128, backend='pillow', interpolation='bicubic')
flip, augment, _, pack = _base_.train_pipeline
train_dataloader = dict(dataset=dict(pipeline=[enlarge, flip, augment, pack]))
val_dataloader = dict(dataset=dict(pipeline=[enlarge, pack]))
test_dataloader = val_dataloader
