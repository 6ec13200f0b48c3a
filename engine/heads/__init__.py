"""Keypoint heads: what the exemplars teach on frozen features, in a frame where every instance stands alike."""
