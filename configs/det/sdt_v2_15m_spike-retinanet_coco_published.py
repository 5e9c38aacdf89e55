# sdt_v2_15m_spike-retinanet_coco.py as it was published
_base_ = './sdt_v2_15m_spike-retinanet_coco.py'

model = dict(
    # the neck evaluates with spikes of 0 and 1, but trains with 0 to 4
    neck=dict(
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=1, train_levels=4, norm=1)
    ),
    bbox_head=dict(
        share_last_neuron=True,
        # declared strides; the maps of the last three levels have 16, 32 and 64
        anchor_generator=dict(strides=[8, 16, 32, 64, 128], base_sizes=None),
    ),
)
allow_wrong_strides = True  # the check before training and testing refuses them

max_epochs = 36
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(
        type='LinearLR',
        start_factor=1.0,
        end_factor=0.01,
        by_epoch=True,
        begin=0,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))  # decay on batch norms too
train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=4)  # 2 GPUs x 2 images
