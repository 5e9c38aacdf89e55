# As meta_sdt_srb_ade20k.py, size S
_base_ = './meta_sdt_srb_ade20k.py'

model = dict(backbone=dict(arch='s'), neck=dict(in_channels=[16, 32, 64, 192]))

train_dataloader = dict(batch_size=10)
auto_scale_lr = dict(base_batch_size=40)  # 4 GPUs x 10 images
