# ImageNet as SpikingResformer takes it: RandAugment, no erasing, crop ratio 0.95
_base_ = 'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py'

train_pipeline = _base_.train_pipeline
train_pipeline[3].magnitude_level = 7
del train_pipeline[4]  # RandomErasing
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = 236  # 224 / 0.95
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=32, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
