# CIFAR10-DVS, 128 x 128; the first 90 % of each class are for training
dataset_type = 'snndense.CIFAR10DVS'
data_root = 'data/cifar10_dvs/'
time_steps = 16
data_preprocessor = dict(type='snndense.EventDataPreprocessor', num_classes=10)

train_pipeline = [
    dict(type='snndense.LoadEventFrames'),
    dict(type='snndense.EventRandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='snndense.LoadEventFrames'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='train',
        time_steps=time_steps,
        split_by='number',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='test',
        time_steps=time_steps,
        split_by='number',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
