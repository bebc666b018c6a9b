"""What examples exist, which of them make a batch, and how the device sees them."""
