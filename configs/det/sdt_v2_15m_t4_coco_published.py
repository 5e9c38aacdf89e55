# sdt_v2_15m_t4_coco.py with the published strides, neck and learning rate
_base_ = './sdt_v2_15m_t4_coco.py'

model = dict(
    # the neck evaluates with spikes of 0 and 1, but trains with 0 to 4
    neck=dict(neuron_cfg=dict(levels=1, train_levels=4)),
    # declared strides; the maps of the last two levels have 16 and 32
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32, 64], base_sizes=None)),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
        mask_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
    ),
)
allow_wrong_strides = True  # the check before training and testing refuses them

train_cfg = dict(max_epochs=8)
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))  # decay on batch norms too
train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=4)  # 2 GPUs x 2 images
