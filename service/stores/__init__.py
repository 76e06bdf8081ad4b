"""Where sessions are kept: one protocol, one record codec, several stores."""
