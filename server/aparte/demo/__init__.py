"""The demo: an airline's own server, a mailbox, and the story that is played on them."""
