# The channel mixers of Meta-SDT at the published size S, as classifiers of ImageNet;
# untrained ones are compared by tools/analysis_tools/compare_st_erf.py
metrics = {'top-1': 'accuracy/top1'}
variants = dict(
    srb=dict(config='../cls/meta_sdt_srb_s_imagenet.py'),
    mlpixer=dict(config='../cls/meta_sdt_mlpixer_s_imagenet.py'),
    conv=dict(config='../cls/meta_sdt_conv_s_imagenet.py'),
)
