//! `felice group`: lists, describes and deletes groups, and resets their offsets.

mod describe;
mod plan;
mod reset;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use self::{describe::Describe, reset::Reset};
use super::{
    Out, Output, SOUND, Stop,
    connect::{Connect, refused},
    table::Table,
};
use crate::client::{Client, groups::Listing};

/// What `felice group` was asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  done
  1  a broker refused, or could not be reached
  2  the arguments make no sense

Examples:
  felice group list
  felice group describe billing
  felice group reset-offsets billing --topic orders --to-datetime 2026-11-22T08:30:00Z
  felice group reset-offsets billing --all-topics --shift-by -100 --execute
  felice group delete billing -b broker-1:9092")]
pub struct Group {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All groups
    List(List),
    /// Members of groups, what is assigned to them, and how far behind each partition is
    ///
    /// LAG counts the messages after the committed offset. BEHIND is how long ago the first of them was written.
    Describe(Describe),
    /// Delete groups with all that they have committed
    Delete(Delete),
    /// Move a group's committed offsets
    ///
    /// Shows what would change; --execute does it. The group must have no members.
    ResetOffsets(Reset),
}

const TYPES: [&str; 4] = ["classic", "consumer", "share", "streams"];

/// Of groups of any type.
const STATES: [&str; 8] =
    ["Empty", "Assigning", "Reconciling", "PreparingRebalance", "CompletingRebalance", "Stable", "NotReady", "Dead"];

#[derive(Debug, Args)]
struct List {
    /// Only groups of this type. May be repeated
    #[arg(long = "type", value_name = "TYPE", value_parser = TYPES, ignore_case = true)]
    kind: Vec<String>,

    /// Only groups in this state. May be repeated
    #[arg(long, value_name = "STATE", value_parser = STATES, ignore_case = true)]
    state: Vec<String>,

    /// How to write them
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Debug, Args)]
struct Delete {
    /// Their names
    #[arg(value_name = "GROUP", required = true)]
    names: Vec<String>,
}

/// Looks at groups, or changes them.
pub fn group(args: Group) -> ExitCode {
    args.connect.run(async |client| match &args.command {
        Command::List(list) => self::list(client, list).await,
        Command::Describe(describe) => describe::describe(client, describe).await,
        Command::Delete(delete) => self::delete(client, delete).await,
        Command::ResetOffsets(reset) => reset::reset(client, reset).await,
    })
}

async fn list(client: &Client, args: &List) -> Result<u8, Stop> {
    let mut out = Out::new(args.output);
    let is_one = |wanted: &[String], is: Option<&str>| {
        wanted.is_empty() || wanted.iter().any(|wanted| is.is_some_and(|is| is.eq_ignore_ascii_case(wanted)))
    };
    let groups = client.groups().await?;
    let chosen: Vec<&Listing> = groups
        .iter()
        .filter(|group| is_one(&args.kind, group.kind.as_deref()) && is_one(&args.state, group.state.as_deref()))
        .collect();
    let mut table = Table::new(&["GROUP", "TYPE", "STATE", "PROTOCOL", "COORDINATOR#"]);
    for group in chosen {
        match out.format {
            Output::Text => table.row([
                group.id.clone(),
                group.kind.clone().unwrap_or_default(),
                group.state.clone().unwrap_or_default(),
                group.protocol_type.clone(),
                group.coordinator.to_string(),
            ]),
            Output::Json => out.line(
                &json!({
                    "group": group.id,
                    "type": group.kind,
                    "state": group.state,
                    "protocol": group.protocol_type,
                    "coordinator": group.coordinator.0,
                })
                .to_string(),
            )?,
        }
    }
    out.table(&table)?;
    out.flush()?;
    Ok(SOUND)
}

async fn delete(client: &Client, args: &Delete) -> Result<u8, Stop> {
    let mut out = Out::new(Output::Text);
    let mut code = SOUND;
    for name in &args.names {
        match client.delete_group(name).await {
            Ok(()) => out.line(&format!("deleted group {name}"))?,
            Err(error) => code = refused(error)?,
        }
    }
    out.flush()?;
    Ok(code)
}
