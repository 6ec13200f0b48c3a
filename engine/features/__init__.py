"""Dense features of photos: views, extraction with the cut U-Net, the fusion slot, and the disk cache."""
