"""The names of COCO's 91 class ids, by which its detectors answer."""

COCO_LABELS: tuple[str | None, ...] = (
    *(None, "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", None, "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse"),
    *("sheep", "cow", "elephant", "bear", "zebra", "giraffe", None, "backpack", "umbrella", None),
    *(None, "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat"),
    *("baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", None, "wine glass", "cup", "fork"),
    *("knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza"),
    *("donut", "cake", "chair", "couch", "potted plant", "bed", None, "dining table", None, None),
    *("toilet", None, "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven"),
    *("toaster", "sink", "refrigerator", None, "book", "clock", "vase", "scissors", "teddy bear", "hair drier"),
    "toothbrush",
)
"""By class id. None: the background (0), and ids that COCO's annotations never came to use: 80 labels are left."""
