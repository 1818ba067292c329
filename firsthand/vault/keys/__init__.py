"""The vault's keys: the keyring, its root and epochs, and what a lost root comes back from."""
