# DVS128 Gesture, 128 x 128
_base_ = './cifar10_dvs.py'

dataset_type = 'snndense.DVS128Gesture'
data_root = 'data/dvs128_gesture/'
data_preprocessor = dict(num_classes=11)

# no flips: some gestures differ in the hand that makes them
train_pipeline = _base_.test_pipeline
train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
