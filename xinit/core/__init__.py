"""What everything else stands on; nothing here knows a setting, a network or a run."""
