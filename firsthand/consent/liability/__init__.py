"""What an organisation answers for: agreements with its wearers, and what happened on the way."""
