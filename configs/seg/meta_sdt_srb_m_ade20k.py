# As meta_sdt_srb_ade20k.py, size M
_base_ = './meta_sdt_srb_ade20k.py'

model = dict(backbone=dict(arch='m'), neck=dict(in_channels=[24, 48, 96, 240]))

train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=32)  # 4 GPUs x 8 images
