"""The model zoo: entries of the metafiles, and models by name."""

from .entries import Entry, PublishedWeights, Result, find_entry, load_zoo, select

__all__ = ['Entry', 'PublishedWeights', 'Result', 'find_entry', 'load_zoo', 'select']
