"""Originals and thumbnails."""
