"""The laboratory: what the theory says of these games, drawn from real runs, with the numbers that decide it."""
