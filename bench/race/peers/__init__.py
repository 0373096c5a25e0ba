"""What runs in the environments of the peers, not in this project's: the same saga, in their words."""
