# As lsformer_digits_det.py, in classification of 64 x 64 pictures
_base_ = './lsformer_digits_det.py'

config = '../cls/lsformer_digits.py'
cfg_options = {'_delete_': True}  # the budget of the config
metrics = {'_delete_': True, 'top-1': 'accuracy/top1'}
