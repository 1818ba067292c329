"""Terms: the words that people consent to, what they allow in them, and under which conditions."""
