# As spiking_resformer_s_imagenet.py, size M, stronger augmentation
_base_ = './spiking_resformer_s_imagenet.py'

model = dict(backbone=dict(arch='m'), head=dict(in_channels=768))

train_pipeline = _base_.train_pipeline
train_pipeline[3].magnitude_level = 9
train_dataloader = dict(batch_size=28, dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(lr=8e-4))
param_scheduler = _base_.param_scheduler
param_scheduler[0].start_factor = 0.0125  # from 1e-5
auto_scale_lr = dict(base_batch_size=224)  # 8 GPUs x 28 images
