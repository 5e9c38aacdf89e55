# As meta_sdt_conv_imagenet.py, size M: SDT-V3 10M
_base_ = './meta_sdt_conv_imagenet.py'

model = dict(backbone=dict(arch='m'), head=dict(in_channels=240))
