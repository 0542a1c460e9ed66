"""HTTP recipes, with urllib and with requests side by side, and what they are made of."""
