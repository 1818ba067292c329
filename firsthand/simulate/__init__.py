"""People with known habits in a small house, as a camera sees them; and links that break."""
