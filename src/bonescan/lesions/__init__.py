"""From a probability map to measured lesions: masks, closed curves, outlines, areas and counts."""
