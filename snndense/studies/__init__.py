"""Measurements, comparisons and reports of the models of configs."""
