"""Arms × seeds -> runs -> statistics -> verdict -> report."""
