from .simple_feature_pyramid import SimpleFeaturePyramid, SpikeSimpleFeaturePyramid

__all__ = ['SimpleFeaturePyramid', 'SpikeSimpleFeaturePyramid']
