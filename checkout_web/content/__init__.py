"""What a page says of a payment, as pure values read from the database."""
