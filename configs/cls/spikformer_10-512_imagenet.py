# As spikformer_8-512_imagenet.py, 10-512
_base_ = './spikformer_8-512_imagenet.py'

model = dict(backbone=dict(arch='10_512'), head=dict(in_channels=512))
