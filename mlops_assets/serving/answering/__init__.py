"""From a request that was understood to a logged prediction."""
