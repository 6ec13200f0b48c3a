"""Matching: queries sampled from labelled images, looked up in target feature maps (methods/matching.md, methods/confidence.md)."""
