# As spikformer_8-512_imagenet.py, 6-512
_base_ = './spikformer_8-512_imagenet.py'

model = dict(backbone=dict(arch='6_512'), head=dict(in_channels=512))
