"""The operations of the Admin API, one file per noun."""
