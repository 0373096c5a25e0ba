"""The command `amends`, as a process."""
