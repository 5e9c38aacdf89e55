# Spikformer 8-384, trained on ImageNet, on CIFAR100 at 224 x 224
_base_ = [
    '../_base_/recipes/spikformer_8-384_cifar.py',
    '../_base_/datasets/cifar100_randaug.py',
]

model = dict(head=dict(num_classes=100))

enlarge = dict(type='Resize', scale=224, backend='pillow', interpolation='bicubic')
train_dataloader = dict(dataset=dict(pipeline=[enlarge, *_base_.train_pipeline]))
val_dataloader = dict(dataset=dict(pipeline=[enlarge, dict(type='PackInputs')]))
test_dataloader = val_dataloader
