"""What each asset does, against ports alone: load inputs, decide, save. No Dagster in here."""
