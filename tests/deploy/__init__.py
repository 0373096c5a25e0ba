"""What is shipped for those who run it."""
