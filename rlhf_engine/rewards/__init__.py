"""What an answer is worth: a list of components, and the fixed way from their sum to what training sees."""
