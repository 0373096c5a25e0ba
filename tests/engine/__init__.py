"""The engine, the relay, replies and timers: a coordinator that really runs."""
