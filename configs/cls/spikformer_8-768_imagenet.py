# As spikformer_8-512_imagenet.py, 8-768
_base_ = './spikformer_8-512_imagenet.py'

model = dict(backbone=dict(arch='8_768'), head=dict(in_channels=768))
