//! Notifications.
//!
//! Written by `schemas/rust/generate.py` from `schemas/json`. Do not change it by hand.

use std::collections::BTreeMap;

use crate::ids::Ulid;
use crate::invalid::Invalid;
use crate::model::{serde_of, words, Members, Model, Schema, Visit};
use crate::rule::ANY;
use crate::clock::now_ms;

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotificationEvent {
    /// `message`
    Message,
    /// `message_clear`
    MessageClear,
    /// `message_delete`
    MessageDelete,
    /// `poll_request`
    PollRequest,
}

words!(NotificationEvent { Message = "message", MessageClear = "message_clear", MessageDelete = "message_delete", PollRequest = "poll_request" });

/// What a tap does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotificationActionKind {
    /// `broadcast`
    Broadcast,
    /// `copy`
    Copy,
    /// `http`
    Http,
    /// `view`
    View,
}

words!(NotificationActionKind { Broadcast = "broadcast", Copy = "copy", Http = "http", View = "view" });

/// Buttons; gbe writes three at most.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NotificationAction {
    /// 10 characters of A-Za-z0-9, made by the server.
    pub id: String,
    /// What a tap does.
    pub action: NotificationActionKind,
    /// The text on the button.
    pub label: String,
    /// Whether a tap dismisses the notification.
    pub clear: bool,
    /// What to open (`view`) or to call (`http`).
    pub url: Option<String>,
    /// HTTP method in capitals; POST without one.
    pub method: Option<String>,
    /// HTTP headers by name.
    pub headers: Option<BTreeMap<String, String>>,
    /// HTTP body.
    pub body: Option<String>,
    /// Android intent to broadcast.
    pub intent: Option<String>,
    /// Extras of the intent.
    pub extras: Option<BTreeMap<String, String>>,
    /// What to copy to the clipboard.
    pub value: Option<String>,
}

impl NotificationAction {
    /// A value with what it must have.
    pub fn new(id: impl Into<String>, action: NotificationActionKind, label: impl Into<String>, clear: bool) -> Self {
        Self {
            id: id.into(),
            action,
            label: label.into(),
            clear,
            url: None,
            method: None,
            headers: None,
            body: None,
            intent: None,
            extras: None,
            value: None,
        }
    }

    /// The same with [`url`](Self::url).
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The same with [`method`](Self::method).
    pub fn with_method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// The same with [`headers`](Self::headers).
    pub fn with_headers(mut self, headers: BTreeMap<String, String>) -> Self {
        self.headers = Some(headers);
        self
    }

    /// The same with [`body`](Self::body).
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The same with [`intent`](Self::intent).
    pub fn with_intent(mut self, intent: impl Into<String>) -> Self {
        self.intent = Some(intent.into());
        self
    }

    /// The same with [`extras`](Self::extras).
    pub fn with_extras(mut self, extras: BTreeMap<String, String>) -> Self {
        self.extras = Some(extras);
        self
    }

    /// The same with [`value`](Self::value).
    pub fn with_value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }
}

impl Model for NotificationAction {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            id: members.required("id", ANY)?,
            action: members.required("action", ANY)?,
            label: members.required("label", ANY)?,
            clear: members.required("clear", ANY)?,
            url: members.optional("url", ANY)?,
            method: members.optional("method", ANY)?,
            headers: members.optional("headers", ANY)?,
            body: members.optional("body", ANY)?,
            intent: members.optional("intent", ANY)?,
            extras: members.optional("extras", ANY)?,
            value: members.optional("value", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("id", &self.id, ANY)?;
        to.field("action", &self.action, ANY)?;
        to.field("label", &self.label, ANY)?;
        to.field("clear", &self.clear, ANY)?;
        to.optional("url", &self.url, ANY)?;
        to.optional("method", &self.method, ANY)?;
        to.optional("headers", &self.headers, ANY)?;
        to.optional("body", &self.body, ANY)?;
        to.optional("intent", &self.intent, ANY)?;
        to.optional("extras", &self.extras, ANY)?;
        to.optional("value", &self.value, ANY)
    }
}

/// The file that belongs to it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NotificationAttachment {
    /// The file name to show.
    pub name: String,
    /// MIME type; uploaded files only.
    pub r#type: Option<String>,
    /// Uploaded files only.
    ///
    /// In bytes. 0 to 9223372036854775807.
    pub size: Option<u64>,
    /// When it is removed; uploaded files only.
    ///
    /// In unix seconds. 0 to 281474976710655.
    pub expires: Option<u64>,
    /// Where to download it.
    pub url: String,
}

impl NotificationAttachment {
    /// A value with what it must have.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            r#type: None,
            size: None,
            expires: None,
            url: url.into(),
        }
    }

    /// The same with [`type`](Self::type).
    pub fn with_type(mut self, r#type: impl Into<String>) -> Self {
        self.r#type = Some(r#type.into());
        self
    }

    /// The same with [`size`](Self::size).
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// The same with [`expires`](Self::expires).
    pub fn with_expires(mut self, expires: u64) -> Self {
        self.expires = Some(expires);
        self
    }
}

impl Model for NotificationAttachment {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            name: members.required("name", ANY)?,
            r#type: members.optional("type", ANY)?,
            size: members.optional("size", ANY.range(0, 9223372036854775807))?,
            expires: members.optional("expires", ANY.range(0, 281474976710655))?,
            url: members.required("url", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("name", &self.name, ANY)?;
        to.optional("type", &self.r#type, ANY)?;
        to.optional("size", &self.size, ANY.range(0, 9223372036854775807))?;
        to.optional("expires", &self.expires, ANY.range(0, 281474976710655))?;
        to.field("url", &self.url, ANY)
    }
}

/// One event of a topic: a message, the clearing or deletion of a sequence, or a poll request. The topic is in the subject. Fields follow the message object of ntfy.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Notification {
    /// Version of the schema that the payload was written by.
    ///
    /// 1 to 4294967295.
    pub v: u64,
    /// When it was published.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub ts: u64,
    /// 12 characters of A-Za-z0-9, as clients see it.
    ///
    /// 1 to 256 characters.
    pub id: String,
    /// As clients see it; of a delayed message, the moment of delivery.
    ///
    /// In unix seconds. 0 to 281474976710655.
    pub time: u64,
    /// What it is.
    pub event: NotificationEvent,
    /// When it may be forgotten; absent for what is not stored.
    ///
    /// In unix seconds. 0 to 281474976710655.
    pub expires: Option<u64>,
    /// Ties updates of one notification together.
    pub sequence_id: Option<String>,
    /// Absent if the publisher gave none.
    pub title: Option<String>,
    /// The text, or base64 if `encoding` says so.
    pub message: Option<String>,
    /// 1 (min) to 5 (max); absent if the publisher gave none, which is not the same as 3.
    ///
    /// 1 to 5.
    pub priority: Option<u64>,
    /// In the publisher's order, duplicates kept.
    ///
    /// Default: `[]`.
    pub tags: Vec<String>,
    /// What a tap on the notification opens.
    pub click: Option<String>,
    /// Address of an image.
    pub icon: Option<String>,
    /// Buttons; gbe writes three at most.
    ///
    /// Default: `[]`.
    pub actions: Vec<NotificationAction>,
    /// The file that belongs to it.
    pub attachment: Option<NotificationAttachment>,
    /// Id of the message to fetch; poll requests only.
    pub poll_id: Option<String>,
    /// `text/markdown`; absent for plain text.
    pub content_type: Option<String>,
    /// `base64` if the body was not text.
    pub encoding: Option<String>,
}

impl Notification {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(time: u64, event: NotificationEvent) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            time,
            event,
            expires: None,
            sequence_id: None,
            title: None,
            message: None,
            priority: None,
            tags: Vec::new(),
            click: None,
            icon: None,
            actions: Vec::new(),
            attachment: None,
            poll_id: None,
            content_type: None,
            encoding: None,
        }
    }

    /// The same with [`ts`](Self::ts).
    pub fn with_ts(mut self, ts: u64) -> Self {
        self.ts = ts;
        self
    }

    /// The same with [`id`](Self::id).
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The same with [`expires`](Self::expires).
    pub fn with_expires(mut self, expires: u64) -> Self {
        self.expires = Some(expires);
        self
    }

    /// The same with [`sequence_id`](Self::sequence_id).
    pub fn with_sequence_id(mut self, sequence_id: impl Into<String>) -> Self {
        self.sequence_id = Some(sequence_id.into());
        self
    }

    /// The same with [`title`](Self::title).
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The same with [`message`](Self::message).
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The same with [`priority`](Self::priority).
    pub fn with_priority(mut self, priority: u64) -> Self {
        self.priority = Some(priority);
        self
    }

    /// The same with [`tags`](Self::tags).
    pub fn with_tags(mut self, tags: Vec<String>) -> Self {
        self.tags = tags;
        self
    }

    /// The same with [`click`](Self::click).
    pub fn with_click(mut self, click: impl Into<String>) -> Self {
        self.click = Some(click.into());
        self
    }

    /// The same with [`icon`](Self::icon).
    pub fn with_icon(mut self, icon: impl Into<String>) -> Self {
        self.icon = Some(icon.into());
        self
    }

    /// The same with [`actions`](Self::actions).
    pub fn with_actions(mut self, actions: Vec<NotificationAction>) -> Self {
        self.actions = actions;
        self
    }

    /// The same with [`attachment`](Self::attachment).
    pub fn with_attachment(mut self, attachment: NotificationAttachment) -> Self {
        self.attachment = Some(attachment);
        self
    }

    /// The same with [`poll_id`](Self::poll_id).
    pub fn with_poll_id(mut self, poll_id: impl Into<String>) -> Self {
        self.poll_id = Some(poll_id.into());
        self
    }

    /// The same with [`content_type`](Self::content_type).
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// The same with [`encoding`](Self::encoding).
    pub fn with_encoding(mut self, encoding: impl Into<String>) -> Self {
        self.encoding = Some(encoding.into());
        self
    }
}

impl Model for Notification {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            time: members.required("time", ANY.range(0, 281474976710655))?,
            event: members.required("event", ANY)?,
            expires: members.optional("expires", ANY.range(0, 281474976710655))?,
            sequence_id: members.optional("sequence_id", ANY)?,
            title: members.optional("title", ANY)?,
            message: members.optional("message", ANY)?,
            priority: members.optional("priority", ANY.range(1, 5))?,
            tags: members.or("tags", ANY, Vec::new())?,
            click: members.optional("click", ANY)?,
            icon: members.optional("icon", ANY)?,
            actions: members.or("actions", ANY, Vec::new())?,
            attachment: members.optional("attachment", ANY)?,
            poll_id: members.optional("poll_id", ANY)?,
            content_type: members.optional("content_type", ANY)?,
            encoding: members.optional("encoding", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("time", &self.time, ANY.range(0, 281474976710655))?;
        to.field("event", &self.event, ANY)?;
        to.optional("expires", &self.expires, ANY.range(0, 281474976710655))?;
        to.optional("sequence_id", &self.sequence_id, ANY)?;
        to.optional("title", &self.title, ANY)?;
        to.optional("message", &self.message, ANY)?;
        to.optional("priority", &self.priority, ANY.range(1, 5))?;
        to.or("tags", &self.tags, ANY, &Vec::new())?;
        to.optional("click", &self.click, ANY)?;
        to.optional("icon", &self.icon, ANY)?;
        to.or("actions", &self.actions, ANY, &Vec::new())?;
        to.optional("attachment", &self.attachment, ANY)?;
        to.optional("poll_id", &self.poll_id, ANY)?;
        to.optional("content_type", &self.content_type, ANY)?;
        to.optional("encoding", &self.encoding, ANY)
    }
}

impl Schema for Notification {
    const NAME: &'static str = "notify/notification";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["notify.topic.*"];
}

serde_of!(NotificationAction, NotificationAttachment, Notification);
