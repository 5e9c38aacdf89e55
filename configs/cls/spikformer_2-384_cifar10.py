# As spikformer_4-384_cifar10.py, 2-384
_base_ = './spikformer_4-384_cifar10.py'

model = dict(backbone=dict(arch='cifar_2_384'), head=dict(in_channels=384))
