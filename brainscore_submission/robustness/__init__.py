"""What is measured with attacks. Pure functions so far: arrays in, numbers out."""
