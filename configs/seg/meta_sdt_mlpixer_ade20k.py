# As meta_sdt_srb_ade20k.py, with the MLPixer mixer
_base_ = './meta_sdt_srb_ade20k.py'

model = dict(backbone=dict(mixer='mlpixer'))

train_dataloader = dict(batch_size=10)
auto_scale_lr = dict(base_batch_size=40)  # 4 GPUs x 10 images
