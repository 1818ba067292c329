"""Samples become sealed parts and a chain of signed records, before anything touches the card."""
