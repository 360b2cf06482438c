"""Networks as readable Python source."""
