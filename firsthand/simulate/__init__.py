"""People with known habits, as a camera sees them; links that break; a hard day of a device."""
