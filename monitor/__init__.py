"""The log's two watchers: a monitor that reads everything, a witness that cosigns."""
