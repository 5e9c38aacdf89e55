# As lsformer_h-t_imagenet.py, size h-s
_base_ = './lsformer_h-t_imagenet.py'

model = dict(backbone=dict(arch='h-s'), head=dict(in_channels=512))
