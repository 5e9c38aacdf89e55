# Spikformer 8-384, four time steps; semantic FPN with spiking neck and head over its
# last map and the spikes of its patch embedding
_base_ = './spikformer_8-384_ade20k.py'

model = dict(
    backbone=dict(out_indices=(1, 2, 3)),
    neck=dict(
        _delete_=True,
        type='snndense.SpikeSegFPN',
        in_channels=[96, 192, 384],
        out_channels=128,
        num_outs=3,
        **_base_.spiking,
    ),
    decode_head=dict(
        in_index=[0, 1, 2], in_channels=[128, 128, 128], feature_strides=[4, 8, 16]
    ),
)
