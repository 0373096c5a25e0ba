"""What the READMEs say is run."""
