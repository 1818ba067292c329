"""The way home: what waits on the card goes to the vault and is cleared by its receipt."""
