"""What a wearer earns: hours, paid and in shares, in a ledger that balances."""
