"""What tests lean on: real servers, and ways to hurt them."""
