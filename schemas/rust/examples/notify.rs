//! Publishes and consumes notifications of a topic.
//!
//! ```sh
//! cargo run --example notify -- --engine nats --url nats://127.0.0.1:4222 publish alerts 'Disk full'
//! cargo run --example notify -- --engine redis --url redis://127.0.0.1:6379 consume alerts 1
//! ```

#[allow(dead_code)] // each example needs a part of it
mod engine;

use engine::{argument, arguments, Engine, Result};
use gbe_schema::notify::{Notification, NotificationEvent};
use gbe_schema::{now_ms, Envelope, Schema, Ulid};

const GROUP: &str = "rust-example";
const KEPT_SECONDS: u64 = 72 * 3600;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (named, words) = arguments()?;
    let namespace = argument(&named, "namespace", "gbe");
    let engine = Engine::connect(&named).await?;
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["publish", topic, message] => publish(&engine, &format!("{namespace}.notify.topic.{topic}"), message).await,
        ["consume", topic, count] => {
            consume(&engine, &format!("{namespace}.notify.topic.{topic}"), count.parse()?).await
        }
        _ => Err("expected: publish TOPIC MESSAGE, or consume TOPIC COUNT".into()),
    }
}

async fn publish(engine: &Engine, subject: &str, message: &str) -> Result<()> {
    let now = now_ms();
    let id = short_id();
    let notification = Notification::new(now / 1000, NotificationEvent::Message)
        .with_id(&*id)
        .with_ts(now)
        .with_expires(now / 1000 + KEPT_SECONDS)
        .with_title("From Rust")
        .with_message(message)
        .with_tags(vec!["crab".to_owned()]);
    let envelope = Envelope::new(Ulid::new().to_string(), subject, now, notification.encode()?);
    engine.publish(&envelope).await?;
    println!("{id}");
    Ok(())
}

/// 12 characters, as clients of topics expect them.
fn short_id() -> String {
    let ulid = Ulid::new().to_string();
    ulid[ulid.len() - 12..].to_owned()
}

/// Prints one line for each message, `count` of them, and acknowledges it.
async fn consume(engine: &Engine, subject: &str, count: usize) -> Result<()> {
    let mut member = engine.join(subject, GROUP).await?;
    let mut seen = 0;
    while seen < count {
        let Some(delivery) = member.next().await? else { continue };
        match Notification::decode(&delivery.envelope.payload.0) {
            Ok(notification) => println!("{}: {}", notification.id, notification.message.unwrap_or_default()),
            Err(fault) => eprintln!("{} is no notification: {fault}", delivery.envelope.id),
        }
        delivery.ack().await?;
        seen += 1;
    }
    Ok(())
}
