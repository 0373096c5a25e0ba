"""Load, faults, and a count of what was lost: real processes on servers of their own. `python -m tests.chaos`."""
