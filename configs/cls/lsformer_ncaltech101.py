# LSFormer (re-design) on N-Caltech101 at 128 x 128, 16 steps: with the recipe of
# Spikformer for CIFAR10-DVS
_base_ = './spikformer_2-256_ncaltech101.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.LSFormer',
        arch='ncaltech',
        in_channels=2,
        time_steps=16,
        out_indices=(3,),
        out_type='spike',
    ),
)
# gains of SPooling
optim_wrapper = dict(paramwise_cfg=dict(flat_decay_mult=0.0))
