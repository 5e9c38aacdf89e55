# Semantic FPN with spiking neck and head, for a backbone with out_mode='sequence'
_base_ = 'mmseg::_base_/models/fpn_r50.py'

model = dict(
    pretrained=None,
    neck=dict(type='snndense.SpikeSegFPN', out_channels=128),
    decode_head=dict(
        type='snndense.SpikeFPNHead',
        in_channels=[128, 128, 128, 128],
        feature_strides=[2, 4, 8, 16],  # only their ratios count
        channels=128,
        dropout_ratio=0.0,
        num_classes=150,
        norm_cfg=dict(type='BN'),
    ),
)
