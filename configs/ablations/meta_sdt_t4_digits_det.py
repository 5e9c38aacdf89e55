# As meta_sdt_digits_det.py, with a backbone of binary neurons over four time steps,
# whose receptive fields have four delays; neck and heads read its rates
_base_ = './meta_sdt_digits_det.py'

cfg_options = dict(
    model=dict(
        backbone=dict(
            time_steps=4, neuron_cfg=dict(type='snndense.LIF'), out_mode='mean'
        )
    )
)
