"""Pure decisions: values in, values out. No clock, environment, network, or orchestrator."""
