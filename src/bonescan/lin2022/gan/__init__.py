"""A DCGAN for thoracic bone scans: train it, sample it, check what it learned. Lin et al. 2022, section 3.2, Eq. 9."""
