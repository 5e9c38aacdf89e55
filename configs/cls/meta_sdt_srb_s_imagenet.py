# As meta_sdt_srb_imagenet.py, size S
_base_ = './meta_sdt_srb_imagenet.py'

model = dict(backbone=dict(arch='s'), head=dict(in_channels=192))
