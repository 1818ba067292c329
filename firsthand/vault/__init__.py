"""The vault: takes sealed segments in, proves it, keeps them and their keys, and erases them."""
