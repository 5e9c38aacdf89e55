# Spikformer 4-384, four time steps, on CIFAR100
_base_ = [
    '../_base_/recipes/spikformer_4-384_cifar.py',
    '../_base_/datasets/cifar100_randaug.py',
]

model = dict(head=dict(num_classes=100))
