# LSFormer (re-design) on CIFAR10-DVS, 16 steps: with the recipe of Spikformer
_base_ = './spikformer_2-256_cifar10-dvs.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.LSFormer',
        arch='dvs',
        in_channels=2,
        time_steps=16,
        out_indices=(3,),
        out_type='spike',
    ),
)
# gains of SPooling
optim_wrapper = dict(paramwise_cfg=dict(flat_decay_mult=0.0))
