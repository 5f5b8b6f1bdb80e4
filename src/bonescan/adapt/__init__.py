"""Teaching a model a department's own scans: normal ones, without a label, and scans of unknown state.

The names load on first use: `bonescan.adapt.insertion` serves benchmarks, too, and imports no torch.
"""
