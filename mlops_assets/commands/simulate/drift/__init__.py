"""How often drift is seen where there is none and missed where there is, beside other tests."""
