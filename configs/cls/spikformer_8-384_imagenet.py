# As spikformer_8-512_imagenet.py, 8-384
_base_ = './spikformer_8-512_imagenet.py'

model = dict(backbone=dict(arch='8_384'), head=dict(in_channels=384))
