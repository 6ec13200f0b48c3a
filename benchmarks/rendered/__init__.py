"""Cases and figures on rendered scenes, whose truth is exact."""
