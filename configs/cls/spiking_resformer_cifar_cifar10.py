# SpikingResformer for small images, four time steps, on CIFAR10
_base_ = [
    '../_base_/recipes/spiking_resformer_cifar.py',
    '../_base_/datasets/cifar10_randaug.py',
]

model = dict(head=dict(num_classes=10))

train_pipeline = _base_.train_pipeline
train_pipeline[1].update(magnitude_level=7, magnitude_std=0.0)
del train_pipeline[2]  # RandomErasing
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
