"""Read and write label files: the curves that people have drawn."""

from bonescan.annotate.labelme import (
    LabelFile,
    LabelShape,
    from_label_image,
    label_image,
    read_labelme,
    write_labelme,
)

__all__ = ["LabelFile", "LabelShape", "from_label_image", "label_image", "read_labelme", "write_labelme"]
