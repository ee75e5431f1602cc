"""What is measured with attacks: accuracy, tolerance, alignment, convergence, and the records of them."""
