"""Learning: from a configuration to a run, and from a run to a bundle. Torch is imported on use, not on import."""
