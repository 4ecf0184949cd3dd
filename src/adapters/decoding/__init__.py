"""Image bytes to pixels, and pixels to thumbnails."""
