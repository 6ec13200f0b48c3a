"""The words of the project as frozen data: NumPy and the standard library only (RLE through pycocotools)."""
