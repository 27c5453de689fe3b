"""The commands of ampctl, one file per noun."""
