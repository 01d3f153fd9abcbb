"""What is wrong with a node, and what to do about it."""
