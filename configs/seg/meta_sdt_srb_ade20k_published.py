# meta_sdt_srb_ade20k.py as in the published code: neck and head 256 wide (24.1 M
# parameters; the paper's 19.2 M are those of 128)
_base_ = './meta_sdt_srb_ade20k.py'

model = dict(
    neck=dict(out_channels=256),
    decode_head=dict(in_channels=[256, 256, 256, 256], channels=256),
)
