//! librdkafka through the crate rdkafka against a broker. Argument: the folder `compat/`. Consumers assign(): no group is
//! needed.

mod admin;
mod broker;
mod check;
mod clients;
mod consume;
mod crash;
mod data;

use std::{
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    process::ExitCode,
};

use crate::{
    broker::Broker,
    check::{part, passed},
};

fn main() -> ExitCode {
    panic::set_hook(Box::new(|failure| eprintln!("  FAIL {failure}")));
    let compat = PathBuf::from(std::env::args().nth(1).expect("the folder compat/"));
    let (_, version) = rdkafka::util::get_rdkafka_version();
    println!("  librdkafka {version}");
    let broker = Broker::start(&compat, &["auto.create.topics.enable=false"]);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        part("admin", || admin::calls(&broker));
        part("codecs", || data::every_codec(&broker));
        part("shapes", || data::shapes(&broker));
        part("timestamps", || data::timestamps(&broker));
        part("consuming", || consume::from_everywhere(&broker));
        part("200,000 messages", || data::two_hundred_thousand(&broker));
        part("restart and kill -9", || crash::interrupted(&broker));
        broker.stop();
        passed("the broker stops cleanly");
    }));
    if outcome.is_err() {
        eprintln!("{}", broker.log());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
