# As meta_sdt_mlpixer_imagenet.py, size S
_base_ = './meta_sdt_mlpixer_imagenet.py'

model = dict(backbone=dict(arch='s'), head=dict(in_channels=192))
