"""The tests, a folder per room. See README.md."""
