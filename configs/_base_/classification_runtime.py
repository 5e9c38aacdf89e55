# mmpretrain's, keeping the last three checkpoints and the best one
_base_ = 'mmpretrain::_base_/default_runtime.py'

default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, save_best='accuracy/top1'))
