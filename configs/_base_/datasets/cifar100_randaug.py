# CIFAR100, augmented as CIFAR10 in cifar10_randaug.py
_base_ = './cifar10_randaug.py'

dataset_type = 'CIFAR100'
# RGB, as in mmpretrain::_base_/datasets/cifar100_bs16.py
rgb_mean, rgb_std = [129.304, 124.070, 112.434], [68.170, 65.392, 70.418]
data_preprocessor = dict(num_classes=100, mean=rgb_mean, std=rgb_std)

train_pipeline = _base_.train_pipeline
train_pipeline[1].hparams.pad_val = [round(x) for x in rgb_mean]
train_pipeline[2].update(fill_color=rgb_mean, fill_std=rgb_std)
train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root='data/cifar100', pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(type=dataset_type, data_root='data/cifar100/'))
test_dataloader = val_dataloader
