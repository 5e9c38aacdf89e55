# As lsformer_8-384_imagenet.py, 8-512
_base_ = './lsformer_8-384_imagenet.py'

model = dict(backbone=dict(arch='8-512'), head=dict(in_channels=512))
