# Meta-SDT with the convolutional mixer, size L: E-SpikeFormer (SDT-V3) 19M
_base_ = [
    '../_base_/models/meta_sdt_cls.py',
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    '../_base_/schedules/lamb_200e.py',
    '../_base_/classification_runtime.py',
]

test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = 232
train_dataloader = dict(batch_size=256)
val_dataloader = dict(batch_size=256, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
