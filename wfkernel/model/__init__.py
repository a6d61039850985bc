"""Data only: values, facts, records, policy. Nothing here decides, waits or writes."""
