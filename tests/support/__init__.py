"""What the scenario tests share: the real program, conditions, data."""
