"""What a region of a photo looks like: saliency, colours, local patches, features of photographs, and their likeness."""
