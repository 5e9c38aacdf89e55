# As meta_sdt_mlpixer_ade20k.py, hidden layers six times as wide as the input
_base_ = './meta_sdt_mlpixer_ade20k.py'

model = dict(backbone=dict(mlp_ratio=6))

train_dataloader = dict(batch_size=9)
auto_scale_lr = dict(base_batch_size=36)  # 4 GPUs x 9 images
