"""What learning from answers of one's own shares: writing them, measuring them under each role, telling of them."""
