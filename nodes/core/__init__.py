"""What every room knows: contracts, cameras, schedules, randomness, state and errors."""
