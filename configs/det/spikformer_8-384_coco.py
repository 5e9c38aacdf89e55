# Spikformer 8-384, four time steps; Mask R-CNN with spiking neck and heads. The neck
# makes its pyramid of the single map of stride 16, as ViTDet's does.
_base_ = [
    '../_base_/models/mask-rcnn_spike.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
]

time_steps = 4
neuron_cfg = dict(type='snndense.LIF')
spiking = dict(time_steps=time_steps, neuron_cfg=neuron_cfg)
model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.Spikformer',
        arch='8_384',
        time_steps=time_steps,
        out_indices=(3,),
        out_mode='sequence',
        with_cp=True,
    ),
    neck=dict(
        _delete_=True,
        type='snndense.SpikeSimpleFeaturePyramid',
        in_channels=[384],
        out_channels=256,
        num_outs=5,  # strides 4, 8, 16, 32, 64
        **spiking,
    ),
    rpn_head=spiking,
    roi_head=dict(
        bbox_roi_extractor=dict(time_steps=time_steps),
        bbox_head=spiking,
        mask_roi_extractor=dict(time_steps=time_steps),
        mask_head=spiking,
    ),
)

train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=16)  # 8 GPUs x 2 images
