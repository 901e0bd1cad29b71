"""What changed in a data set since an earlier run, and whether new images are like the old ones."""
