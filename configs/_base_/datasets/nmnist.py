# N-MNIST, 34 x 34
_base_ = './cifar10_dvs.py'

dataset_type = 'snndense.NMNIST'
data_root = 'data/nmnist/'
time_steps = 8
dataset = dict(type=dataset_type, data_root=data_root, time_steps=time_steps)

# no flips: a mirrored digit is another sign
train_pipeline = _base_.test_pipeline
train_dataloader = dict(dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator
