"""Who somebody is, what they may do, how much of it, and a record of what they did."""
