"""Scans of one patient over time: alignment, matched lesions, what changed, and the PCWG3 rule."""
