"""What a programme must know of its people together: who leaves, deletes, wears; never of few."""
