"""Which phase and which function each detector channel has, from half an hour of events, against the configuration."""
