"""Remarks on accepted files, as constants that other modules compare with. Imports no pydicom."""

DERIVED = "the image is derived (filtered, combined or compressed), not as acquired: not fit for training"
EIGHT_BITS = "the image has 8 bits per pixel, so counts above 255 may be cut off"
LOSSY = "the image was compressed with loss: counts and small lesions may be altered"
RESCALED = "the counts were rescaled as the file states"
SEVERAL_ENERGIES = "the frames are of more than one energy window"
NO_TRACER = "the file does not state the tracer: make sure that it is a bone scan"
OTHER_TRACER = "the tracer that the file states is not known as a bone tracer: make sure that it is a bone scan"
