# Spikformer 4-384, four time steps, on Tiny-ImageNet: as lsformer_tiny-imagenet.py
_base_ = './lsformer_tiny-imagenet.py'

model = dict(
    backbone=dict(_delete_=True, type='snndense.Spikformer', arch='cifar_4_384')
)
