# As meta_sdt_conv_imagenet.py, size T: SDT-V3 2.7M
_base_ = './meta_sdt_conv_imagenet.py'

model = dict(backbone=dict(arch='t'), head=dict(in_channels=128))
