"""Augmentation with the physics of counting: sampled (`parameters`), then applied (`apply`)."""
