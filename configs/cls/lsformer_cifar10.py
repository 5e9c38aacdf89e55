# LSFormer (re-design) for small images, four time steps, on CIFAR10
_base_ = [
    '../_base_/recipes/lsformer_cifar.py',
    '../_base_/datasets/cifar10_randaug.py',
]

model = dict(head=dict(num_classes=10))
train_dataloader = dict(batch_size=64)
