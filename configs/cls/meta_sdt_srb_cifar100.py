# Meta-SDT with the SRB mixer, size L, trained on ImageNet, on CIFAR100 at 128 x 128
_base_ = [
    '../_base_/recipes/meta_sdt_srb_cifar.py',
    '../_base_/datasets/cifar100_randaug.py',
]

model = dict(head=dict(num_classes=100))

enlarge = dict(type='Resize', scale=128, backend='pillow', interpolation='bicubic')
train_dataloader = dict(dataset=dict(pipeline=[enlarge, *_base_.train_pipeline]))
val_dataloader = dict(dataset=dict(pipeline=[enlarge, dict(type='PackInputs')]))
test_dataloader = val_dataloader
