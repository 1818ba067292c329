"""What lies on the card: closed segments, what is left of cut ones, and the room for more."""
