"""Sections 4.14 and 6.3: e-mail addresses of accounts, mails to them, and new passwords by mail."""

import json
import re
from collections.abc import Iterator
from email.message import EmailMessage

import httpx
import pytest
from tests.naming import unique
from tests.ntfy.access.accounts import PASSWORD, Account, Nodes, basic, new_address
from tests.ntfy.access.conftest import two_nodes
from tests.ntfy.conftest import OpenStore, OpenTransport
from tests.ntfy.postbox import Postbox
from tests.ntfy.server import Loop, Server, eventually, refused

BASE_URL = "https://push.example.net"
VERIFY, RESET = "/v1/account/email/verify", "/v1/account/password/reset"


@pytest.fixture(scope="module")
def postbox(loop: Loop) -> Iterator[Postbox]:
    with Postbox(loop) as postbox:
        yield postbox


@pytest.fixture
def mailing(
    loop: Loop, http_client: httpx.Client, open_transport: OpenTransport, open_store: OpenStore, postbox: Postbox
) -> Iterator[Nodes]:
    """Two nodes that send mails, to verified addresses only."""
    with two_nodes(
        loop,
        http_client,
        open_transport,
        open_store,
        base_url=BASE_URL,
        smtp_sender_addr=f"127.0.0.1:{postbox.port}",
        smtp_sender_from="gbe@example.net",
        smtp_sender_verify=True,
        visitor_email_limit_burst=20,
    ) as nodes:
        yield nodes


class Person:
    """A user with a letterbox, who is a visitor of their own."""

    def __init__(self, nodes: Nodes, postbox: Postbox) -> None:
        self.nodes, self.postbox = nodes, postbox
        self.account: Account = nodes.new_user()
        self.address = f"{unique('Ann')}@Example.net"
        self.visitor = new_address()

    @property
    def name(self) -> str:
        return self.account.name

    def ask(self, method: str, path: str, body: object = None, *, server: Server | None = None) -> httpx.Response:
        """A request of this user, to the first node unless another is named."""
        return self.account.request(
            server or self.nodes.one, method, f"/v1/account{path}", json=body, headers=self.visitor
        )

    def mails(self) -> list[EmailMessage]:
        """What has come so far."""
        return [mail for _, recipients, mail in self.postbox.mails if recipients == [self.address]]

    def secret(self, number: int, start: str) -> str:
        """The secret of the link in the mail of this number, which leads to ``start``."""
        eventually(lambda: len(self.mails()) >= number, f"mail {number} arrives")
        text = self.mails()[number - 1].get_content()
        found = re.search(rf"^{re.escape(BASE_URL + start)}\?token=([a-z0-9]{{32}})\r?$", text, re.MULTILINE)
        assert found is not None, text
        assert self.name in text
        return found[1]

    def listed(self, server: Server | None = None) -> list[dict[str, object]]:
        """The addresses, as the account has them."""
        found: list[dict[str, object]] = self.ask("GET", "", server=server).json().get("emails", [])
        return found

    def verified(self, address: str | None = None) -> None:
        """Add the address and verify it."""
        self.address = address or self.address
        before = len(self.mails())
        assert self.ask("PUT", "/email", {"email": self.address}).json() == {"success": True}
        secret = self.secret(before + 1, VERIFY)
        answer = self.nodes.one.post(VERIFY, json.dumps({"token": secret}))
        assert answer.json() == {"success": True}, answer.text


def test_an_address_is_verified_on_any_node_and_gets_messages(mailing: Nodes, postbox: Postbox, topic: str) -> None:
    """The whole way: pending, verified and primary, mailed to with ``Email: yes``, a new password, removed."""
    ann = Person(mailing, postbox)
    topic = f"open-{topic}"

    def publish(email: str) -> httpx.Response:
        headers = {"Email": email, **ann.visitor}
        return ann.account.request(mailing.other, "POST", f"/{topic}", content="to you", headers=headers)

    assert ann.ask("PUT", "/email", {"email": ann.address}).json() == {"success": True}
    pending = {"address": ann.address, "primary": False, "pending": True}
    eventually(lambda: ann.listed(mailing.other) == [pending], "the other node knows the address")
    for email in ("yes", ann.address):
        refused(publish(email), 40052)
    refused(ann.ask("POST", "/email/primary", {"email": ann.address}), 40052)

    secret = ann.secret(1, VERIFY)
    assert mailing.other.post(VERIFY, json.dumps({"token": secret})).json() == {"success": True}
    primary = {"address": ann.address, "primary": True, "pending": False}
    for server in (mailing.one, mailing.other):
        eventually(lambda s=server: ann.listed(s) == [primary], "it is verified on all nodes")  # type: ignore[misc]
    refused(mailing.one.post(VERIFY, json.dumps({"token": secret}), headers=new_address()), 40051)  # it counts once

    for email in ("yes", ann.address.upper()):
        assert publish(email).status_code == 200
    refused(publish("somebody.else@example.net"), 40052)
    refused(mailing.other.post(f"/{topic}", "x", headers={"Email": "yes"}), 40053)
    refused(mailing.other.post(f"/{topic}", "x", headers={"Email": ann.address}), 40053)
    eventually(lambda: any(mail["Subject"] == "to you" for mail in ann.mails()), "the message arrives as a mail")

    login = json.dumps({"username": ann.address.lower(), "password": PASSWORD})
    assert mailing.other.post("/v1/account/login", login).json()["token"].startswith("tk_")
    before = len(eventually(lambda: len(ann.mails()) >= 2 and ann.mails(), "all mails so far"))
    body = json.dumps({"email": ann.address})
    assert mailing.other.post(f"{RESET}/request", body, headers=ann.visitor).json() == {"success": True}
    eventually(lambda: any("password" in str(mail["Subject"]) for mail in ann.mails()), "the link to a new password")
    number = 1 + next(n for n, mail in enumerate(ann.mails()) if "password" in str(mail["Subject"]))
    assert before >= 2
    reset = {"token": ann.secret(number, RESET), "new_password": "another one"}
    assert mailing.one.post(RESET, json.dumps(reset)).json() == {"success": True}
    ann.account = Account(ann.name, basic(ann.name, "another one"))
    eventually(lambda: ann.ask("GET", "", server=mailing.other).status_code == 200, "the new password counts")
    refused(mailing.one.post(RESET, json.dumps(reset), headers=new_address()), 40054)  # once

    assert ann.ask("DELETE", "/email", {"email": ann.address}).json() == {"success": True}
    eventually(lambda: ann.listed(mailing.other) == [], "it is gone")
    refused(publish("yes"), 40052)


def test_a_primary_address_is_of_one_user_only(mailing: Nodes, postbox: Postbox) -> None:
    """Both may have it verified; it goes to the other when the first gives it up, also by being deleted."""
    ann, ben = Person(mailing, postbox), Person(mailing, postbox)
    ann.verified()
    ben.verified(ann.address)
    shared = {"address": ann.address, "primary": False, "pending": False}
    assert ben.listed() == [shared]
    refused(ben.ask("POST", "/email/primary", {"email": ann.address}), 40908)
    other = f"{unique('more')}@example.net"
    ann.verified(other)
    assert [email["primary"] for email in ann.listed()] == [True, False]
    assert ann.ask("POST", "/email/primary", {"email": other}).status_code == 200
    assert [email["primary"] for email in ann.listed()] == [False, True]
    assert ben.ask("POST", "/email/primary", {"email": ben.address}).status_code == 200
    assert ben.listed() == [shared | {"primary": True}]
    assert ben.ask("DELETE", "", {"password": PASSWORD}).status_code == 200
    assert ann.ask("POST", "/email/primary", {"email": ben.address}).status_code == 200


@pytest.mark.parametrize("back_end", ["memory"])
class TestRefusals:
    """What cannot be, on one engine."""

    def test_of_addresses(self, mailing: Nodes, postbox: Postbox) -> None:
        ann = Person(mailing, postbox)
        for bad in (
            "ann",
            "a@b,c@d",
            "a b@c.net",
            "a@b.net\r\nBcc: eve@example.net",
            "<a@b.net>",
            "x" * 250 + "@b.net",
        ):
            refused(ann.ask("PUT", "/email", {"email": bad}), 40050)
        refused(ann.ask("PUT", "/email", {}), 40000)
        refused(ann.ask("PUT", "/email", {"email": 5}), 40024)
        for method, path in (("DELETE", "/email"), ("POST", "/email/primary"), ("POST", "/email/resend")):
            refused(ann.ask(method, path, {"email": "unknown@example.net"}), 40401)
        ann.verified()
        refused(ann.ask("PUT", "/email", {"email": ann.address.upper()}), 40907)
        refused(ann.ask("POST", "/email/resend", {"email": ann.address}), 40907)
        for method, path in (
            ("PUT", "/email"), ("DELETE", "/email"), ("POST", "/email/primary"), ("POST", "/email/resend"),
        ):  # fmt: skip
            refused(mailing.one.request(method, f"/v1/account{path}", json={"email": ann.address}), 40101)

    def test_an_account_has_ten_addresses(self, mailing: Nodes, postbox: Postbox) -> None:
        ann = Person(mailing, postbox)
        for number in range(10):
            assert ann.ask("PUT", "/email", {"email": f"a{number}@example.net"}).status_code == 200
        refused(ann.ask("PUT", "/email", {"email": "one.more@example.net"}), 40000)
        assert len(ann.listed()) == 10

    def test_mails_are_limited_for_who_asks_and_for_where_they_go(self, mailing: Nodes, postbox: Postbox) -> None:
        ann, ben = Person(mailing, postbox), Person(mailing, postbox)
        assert ann.ask("GET", "").json()["stats"]["emails_remaining"] == 20
        assert ann.ask("PUT", "/email", {"email": ann.address}).status_code == 200
        for _ in range(19):
            assert ann.ask("POST", "/email/resend", {"email": ann.address}).status_code == 200
        refused(ann.ask("POST", "/email/resend", {"email": ann.address}), 42902)
        stats = ann.ask("GET", "").json()["stats"]
        assert (stats["emails"], stats["emails_remaining"]) == (20, 0)
        refused(ben.ask("PUT", "/email", {"email": ann.address.lower()}), 42902)  # whoever asks
        assert ben.listed() == []

    def test_guessed_links_count_as_failed_logins(self, mailing: Nodes) -> None:
        address = new_address()
        for number in range(15):
            body = json.dumps({"token": f"{number:032}", "new_password": "x"})
            refused(mailing.one.post(VERIFY, body, headers=address), 40051)
            refused(mailing.one.post(RESET, body, headers=address), 40054)
        for path in (VERIFY, RESET):
            refused(mailing.one.post(path, body, headers=address), 42909)
        refused(mailing.one.post(VERIFY, "{}", headers=new_address()), 40000)

    def test_a_link_is_for_one_purpose_and_one_user(self, mailing: Nodes, postbox: Postbox) -> None:
        ann = Person(mailing, postbox)
        ann.verified()
        body = json.dumps({"email": ann.address})
        for _ in range(2):
            assert mailing.one.post(f"{RESET}/request", body, headers=ann.visitor).status_code == 200
        first, second = ann.secret(2, RESET), ann.secret(3, RESET)
        refused(mailing.one.post(VERIFY, json.dumps({"token": first}), headers=new_address()), 40051)
        refused(mailing.one.post(RESET, json.dumps({"token": first, "new_password": "x" * 73})), 40000)
        assert mailing.one.post(RESET, json.dumps({"token": first, "new_password": "new"})).status_code == 200
        # the other link was for the password that was
        again = json.dumps({"token": second, "new_password": "newer"})
        refused(mailing.one.post(RESET, again, headers=new_address()), 40054)

    def test_nobody_learns_who_has_an_account(self, mailing: Nodes, postbox: Postbox) -> None:
        body = json.dumps({"email": "nobody.knows@example.net"})
        assert mailing.one.post(f"{RESET}/request", body, headers=new_address()).json() == {"success": True}
        ann = Person(mailing, postbox)
        ann.account = Account("anna", basic("anna"))  # of the configuration: nothing else changes the password
        ann.verified()
        request = json.dumps({"email": ann.address})
        assert mailing.one.post(f"{RESET}/request", request, headers=new_address()).json() == {"success": True}
        assert mailing.one.post(f"{RESET}/request", request, headers=new_address()).json() == {"success": True}
        marker = Person(mailing, postbox)
        marker.verified()  # mails go out in order of their beginning, a few at a time: by now all have
        assert not any("password" in str(mail["Subject"]) for mail in ann.mails())

    def test_links_open_pages_that_ask_first(self, mailing: Nodes, postbox: Postbox) -> None:
        """A program that looks through mails verifies nothing; a person presses a button."""
        ann = Person(mailing, postbox)
        assert ann.ask("PUT", "/email", {"email": ann.address}).status_code == 200
        secret = ann.secret(1, VERIFY)
        page = mailing.one.get(f"{VERIFY}?token={secret}")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "script" not in page.text
        assert page.headers["referrer-policy"] == "no-referrer"
        assert ann.listed()[0]["pending"] is True
        assert f'name="token" value="{secret}"' in page.text
        action = re.search(r'action="([^"]+)"', page.text)
        assert action is not None
        done = mailing.one.request("POST", action[1], data={"token": secret})
        assert (done.status_code, "verified" in done.text) == (200, True)
        assert ann.listed()[0]["pending"] is False

        body = json.dumps({"email": ann.address})
        mailing.one.post(f"{RESET}/request", body, headers=ann.visitor)
        secret = ann.secret(2, RESET)
        assert 'name="new_password"' in mailing.one.get(f"{RESET}?token={secret}").text
        form = {"token": secret, "new_password": "päss wörd"}
        assert mailing.one.request("POST", f"{RESET}/form", data=form).status_code == 200
        headers = {"Authorization": basic(ann.name, "päss wörd")}
        assert mailing.one.get("/v1/account", headers=headers).status_code == 200
        for path, code in ((VERIFY, 40051), (RESET, 40054)):
            refused(mailing.one.get(f'{path}?token="><script>'), code)
            refused(mailing.one.request("POST", f"{path}/form", content=b"\xff", headers=new_address()), 40000)


def test_without_a_mail_server_there_are_none(memory_nodes: Nodes) -> None:
    user = memory_nodes.new_user()
    refused(user.request(memory_nodes.one, "PUT", "/v1/account/email", json={"email": "a@b.net"}), 40001)
    refused(memory_nodes.one.post(f"{RESET}/request", '{"email":"a@b.net"}'), 40001)
    assert memory_nodes.one.get("/v1/config").json()["enable_reset_password"] is False
