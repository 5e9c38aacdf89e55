# As spiking_resformer_s_imagenet.py, size L, stronger augmentation, SyncBN
_base_ = './spiking_resformer_s_imagenet.py'

model = dict(backbone=dict(arch='l'), head=dict(in_channels=1024))
sync_bn = 'torch'  # where there is more than one process

train_pipeline = _base_.train_pipeline
train_pipeline[3].update(magnitude_level=9, num_policies=3)
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = _base_.param_scheduler
param_scheduler[0].start_factor = 0.02  # from 1e-5
auto_scale_lr = dict(base_batch_size=128)  # 8 GPUs x 16 images
