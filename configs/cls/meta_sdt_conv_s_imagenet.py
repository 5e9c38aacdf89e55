# As meta_sdt_conv_imagenet.py, size S: SDT-V3 5.1M
_base_ = './meta_sdt_conv_imagenet.py'

model = dict(backbone=dict(arch='s'), head=dict(in_channels=192))
