"""Airflow's own notifiers, over real HTTP and SMTP."""

from __future__ import annotations

import logging

import pytest
from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import BaseNotifier

from airflow_mlops.notifications import tell

TEXT = "orders: 2026-11-01 quarantined\n- failed: volume: expected <5>, got 3 & {{ no template }}"
NOTIFIERS = (
    SlackWebhookNotifier(text="{{ incident }}"),
    SmtpNotifier(to="data@example.org", subject="{{ headline }}", html_content="<pre>{{ incident | e }}</pre>"),
)


def test_a_webhook_and_a_mail(sent):
    context = {"ds": "2026-11-01"}
    assert tell(NOTIFIERS, context, incident=TEXT, headline=TEXT.splitlines()[0]) == (
        "SlackWebhookNotifier",
        "SmtpNotifier",
    )
    assert [message["text"] for message in sent.messages] == [TEXT]
    (mail,) = sent.mails
    assert mail["Subject"] == "orders: 2026-11-01 quarantined"
    (body,) = [part.get_content() for part in mail.walk() if part.get_content_type() == "text/html"]
    assert "expected &lt;5&gt;, got 3 &amp; {{ no template }}" in body
    assert context == {"ds": "2026-11-01"}


def test_a_notifier_says_something_else_the_next_time(sent):
    """Mapped tasks in one process share their notifiers, and rendering changes one for good."""
    for word in ("first", "second"):
        tell(NOTIFIERS[:1], {}, incident=word)
    assert [message["text"] for message in sent.messages] == ["first", "second"]


class Broken(BaseNotifier):
    """Shows what it must not in its error."""

    template_fields = ("text",)
    text = "{{ incident }}"

    def notify(self, context):
        raise ValueError("no access to https://hooks.example/T000/secret")


@pytest.mark.parametrize("status", [403, 500])
def test_one_that_fails_keeps_nobody_else_from_being_told(sent, webhook, monkeypatch, caplog, status):
    monkeypatch.setattr(webhook, "status", status)
    with caplog.at_level(logging.ERROR, logger="airflow_mlops"):
        assert tell([Broken(), *NOTIFIERS], {}, incident=TEXT, headline="h") == ("SmtpNotifier",)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_mlops")]
    assert ours == ["Broken told nobody: ValueError", "SlackWebhookNotifier told nobody: AirflowException"]
    assert len(sent.mails) == 1
