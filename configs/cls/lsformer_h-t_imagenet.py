# LSFormer (re-design) h-t, four integer levels: weights for detection and segmentation
_base_ = './lsformer_8-384_imagenet.py'

model = dict(
    backbone=dict(
        arch='h-t',
        time_steps=1,
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=4),
    ),
    head=dict(in_channels=384),
)
