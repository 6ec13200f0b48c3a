"""Small reusable widgets without project knowledge."""
