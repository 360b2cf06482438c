"""What every network of a space is worth: tables of real trainings, and searches compared on them."""
