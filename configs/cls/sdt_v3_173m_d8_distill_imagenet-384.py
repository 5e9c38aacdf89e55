# As sdt_v3_173m_d8_distill_imagenet.py, images of 384 x 384
_base_ = './sdt_v3_173m_d8_distill_imagenet.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1].scale = 384
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = 438  # 256 x 384 / 224
test_pipeline[2].crop_size = 384
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
