"""E-mail: messages go out as mails (``compose``, ``mailer``), mails come in as messages (``incoming``)."""
