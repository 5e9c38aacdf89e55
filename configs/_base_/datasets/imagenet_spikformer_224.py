# ImageNet as Spikformer takes it: whole images, one crop of nothing in evaluation
_base_ = 'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1].crop_ratio_range = (1.0, 1.0)
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = 224
train_dataloader = dict(batch_size=24, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=24, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
