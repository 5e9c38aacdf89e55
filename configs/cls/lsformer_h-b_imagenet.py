# As lsformer_h-t_imagenet.py, size h-b
_base_ = './lsformer_h-t_imagenet.py'

model = dict(backbone=dict(arch='h-b'), head=dict(in_channels=768))
