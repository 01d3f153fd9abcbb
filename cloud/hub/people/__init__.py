"""Who may do what at the hub: users, sessions, tokens, other providers, and what each sees."""
