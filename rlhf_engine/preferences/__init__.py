"""What learning from preferences shares: pairs as token ids, log-probabilities of whole answers, losses on them."""
