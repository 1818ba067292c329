"""A person's model, run: what it expects next, and how true to the person it is."""
