"""The product beside its limits and its peers, on the same servers in the same minutes.

`rounds` lets contenders take turns, `contenders` names them; `installing` gets the peers, `driven` and `driving` talk
to those that have no HTTP; `parts` asks the questions, `writing` and `plot` tell the answers. What runs in an
environment of its own is in `peers/`, and imports nothing of this package but `driven`.
"""
