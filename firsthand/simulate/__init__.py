"""People with known habits in a small house, as a camera sees them; links that break; a hard day."""
