"""One file per way to answer a request for keypoints: sweep, first look, pairwise, optimised points, label check."""
