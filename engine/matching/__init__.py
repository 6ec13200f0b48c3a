"""Matching: queries sampled from labelled images, looked up in target feature maps (ALGORITHMS 2, 6, 8, 9)."""
