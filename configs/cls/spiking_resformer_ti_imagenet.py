# As spiking_resformer_s_imagenet.py, size Ti
_base_ = './spiking_resformer_s_imagenet.py'

model = dict(backbone=dict(arch='ti'), head=dict(in_channels=384))
