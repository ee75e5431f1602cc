"""Images with labels, in the frame that a network sees: a folder for each class, a CSV beside images, or an npz."""
