"""What FastAPI does not say of the API by itself."""
