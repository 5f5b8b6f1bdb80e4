"""Adapt a model to a department's own scans: normal scans without labels, and scans of unknown status.

This module imports nothing, so that benchmarks can use `bonescan.adapt.insertion` without torch.
"""
