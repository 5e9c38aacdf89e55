# As meta_sdt_mlpixer_imagenet.py, size M
_base_ = './meta_sdt_mlpixer_imagenet.py'

model = dict(backbone=dict(arch='m'), head=dict(in_channels=240))
