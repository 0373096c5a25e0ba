"""Bugs to plant: each breaks one rule of the product, and the tests named beside it must notice.

`python -m tests.planted` plants them one at a time in a copy of the repository and says which test caught it.
"""
