# As spikformer_4-384_cifar100.py, 4-256
_base_ = './spikformer_4-384_cifar100.py'

model = dict(backbone=dict(arch='cifar_4_256'), head=dict(in_channels=256))
