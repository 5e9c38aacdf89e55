# LSFormer (re-design) 8-384, four time steps: as Spikformer, but for
_base_ = './spikformer_8-384_imagenet.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.LSFormer',
        arch='8-384',
        out_indices=(3,),
        out_type='spike',
        drop_path_rate=0.1,
    ),
)

# 6e-4 per 256 images: 6e-4 x 192 / 256 = 4.5e-4
optim_wrapper = dict(optimizer=dict(lr=4.5e-4))
