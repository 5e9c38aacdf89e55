# As meta_sdt_srb_digits.py, with the MLPixer mixer
_base_ = './meta_sdt_srb_digits.py'

model = dict(backbone=dict(mixer='mlpixer'))
