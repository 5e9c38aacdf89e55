# LSFormer (re-design) for small images, four time steps, on CIFAR100
_base_ = [
    '../_base_/recipes/lsformer_cifar.py',
    '../_base_/datasets/cifar100_randaug.py',
]

model = dict(head=dict(num_classes=100))
train_dataloader = dict(batch_size=64)
