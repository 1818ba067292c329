"""A transformer over steps, and its training: from one core to many GPUs, resumed exactly."""
