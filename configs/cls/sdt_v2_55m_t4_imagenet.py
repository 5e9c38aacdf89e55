# As sdt_v2_55m_imagenet.py, four time steps: 20 epochs from the weights of one step
_base_ = './sdt_v2_55m_imagenet.py'

model = dict(backbone=dict(time_steps=4), head=dict(time_steps=4))

load_from = 'work_dirs/sdt_v2_55m_imagenet/epoch_200.pth'

train_dataloader = dict(batch_size=32)
max_epochs = 20  # upstream: 50 in the script, 20 by its authors' later advice
warmup_epochs = 2
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = param_scheduler[1].begin = warmup_epochs
param_scheduler[1].end = max_epochs
train_cfg = dict(max_epochs=max_epochs)
# 2e-5 x 1024 / 256
optim_wrapper = dict(optimizer=dict(lr=8e-5))
