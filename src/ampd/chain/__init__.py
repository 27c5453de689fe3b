"""What an EVM chain is: table schemas, hashes, checks. Pure: no input or output."""
