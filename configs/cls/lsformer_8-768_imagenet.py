# As lsformer_8-384_imagenet.py, 8-768
_base_ = './lsformer_8-384_imagenet.py'

model = dict(backbone=dict(arch='8-768'), head=dict(in_channels=768))
