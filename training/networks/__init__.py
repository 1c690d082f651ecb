"""Networks by kind of data, so that a variant names roles and not layers."""
