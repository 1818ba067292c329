"""The web: the API through which devices hand in footage, and the pages that show the vault."""
