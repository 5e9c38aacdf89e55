# sdt_v2_15m_coco.py as it was published, which fine-tunes a trained detector:
# a small learning rate, five epochs and one image per GPU
_base_ = './meta_sdt_conv_coco_published.py'

model = dict(backbone=dict(arch='v2_15m'))

max_epochs = 5
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
optim_wrapper = dict(optimizer=dict(lr=2.5e-5))
train_dataloader = dict(batch_size=1)
auto_scale_lr = dict(base_batch_size=2)  # 2 GPUs x 1 image
