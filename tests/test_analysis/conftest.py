"""Recorded receptive fields."""

from pathlib import Path

DATA = Path(__file__).parents[1] / 'data/parity'
PARITY = sorted(DATA.glob('sterf_*.json'))
