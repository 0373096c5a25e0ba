"""What a saga is: its definition, what happens to it, how it stands, and what follows. No clock, no chance."""
