from .digit_scenes import DigitScenesSettings, make_digit_scenes

__all__ = ['DigitScenesSettings', 'make_digit_scenes']
