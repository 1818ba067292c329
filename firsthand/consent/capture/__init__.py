"""What may be captured and kept in use: law, places, withheld intervals, review, bystanders."""
