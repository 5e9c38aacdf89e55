# N-Caltech101, 180 x 240; the first 90 % of each class are for training
_base_ = './cifar10_dvs.py'

dataset_type = 'snndense.NCaltech101'
data_root = 'data/ncaltech101/'
data_preprocessor = dict(num_classes=101)

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
