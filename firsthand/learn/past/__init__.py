"""All of a person's past: experts that count it, a gate that mixes them, a network that ranks."""
