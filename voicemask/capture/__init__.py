"""What is being collected and who may hear it: digits, cards, policies."""
