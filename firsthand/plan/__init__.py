"""What a programme costs and yields, before anyone wears a camera."""
