"""Networks as the field stores them."""
