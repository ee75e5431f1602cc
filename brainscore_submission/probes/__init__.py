"""What is measured by changing pixels or tokens: on labelled images, and on the scores of a brain."""
