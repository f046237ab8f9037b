//! A restored master takes back from an agent what its backup lacks.

use super::operator;
use crate::adopt::{Adopted, adopt, keep_database};
use crate::config::Config;
use crate::keys::Keys;
use crate::run::open_database;
use clap::Args;
use holdfast_proto::snapshot::Feed;
use std::path::PathBuf;

/// What is taken, and who wins.
#[derive(Args)]
pub struct AdoptArguments {
    /// A copy of an agent's state directory, or a stick with one. The master must be stopped.
    #[arg(required_unless_present = "keep_database")]
    folder: Option<PathBuf>,
    /// Where the database says otherwise than what was adopted, it wins: its rows go out under a new, higher number. Alone, for
    /// what was adopted before; the master may run then.
    #[arg(long)]
    keep_database: bool,
    /// Why, for the history.
    #[arg(long, default_value = "the database wins over what was adopted from an agent")]
    reason: String,
}

/// Takes back what an agent holds, tells what the database says otherwise, and lets it win where that is wished.
pub async fn adopt_from_agent(config: Config, arguments: AdoptArguments) -> anyhow::Result<()> {
    let keys = Keys::read(&config.state_dir)?;
    let (pool, _) = open_database(&config).await?;
    let actor = operator();
    if let Some(folder) = &arguments.folder {
        print!("{}", told(&adopt(&pool, &keys, folder, &actor).await?));
    }
    if arguments.keep_database {
        let feeds: Vec<String> = keep_database(&pool, &actor, &arguments.reason).await?.iter().map(Feed::to_string).collect();
        match &feeds[..] {
            [] => println!("The database says nothing otherwise: there is nothing to let win."),
            feeds => println!("The database wins: what it says of {} is published under a new number as soon as a master runs.", feeds.join(", ")),
        }
    }
    Ok(())
}

fn told(adopted: &Adopted) -> String {
    let mut text = String::new();
    for report in &adopted.feeds {
        let (from, held) = (format!("{}.{}", report.from.0, report.from.1), format!("{}.{}", report.held.0, report.held.1));
        let what = if report.is_taken { format!("{from} -> {held}") } else { format!("{from} stays, the agent holds {held}") };
        text.push_str(&format!("{:<12} {what}, {} rows\n", report.feed.to_string(), report.rows));
    }
    adopted.notes.iter().for_each(|note| text.push_str(&format!("{note}\n")));
    for (feed, difference) in &adopted.differences {
        text.push_str(&format!("The database says otherwise of {} rows of {feed} (- would go, + would come):\n", difference.rows));
        difference.lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    }
    text.push_str(match adopted.differences.is_empty() {
        true => "The database says the same: a master that starts publishes on from here.\n",
        false => {
            "Nothing is published until this is settled: start the master and enter again what is missing, or let the database win with\n\
             `holdfast-master adopt-from-agent --keep-database`.\n"
        }
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::FeedReport;
    use crate::snapshots::{Difference, Line, Sign};
    use holdfast_proto::words::{Epoch, Generation};
    use std::collections::BTreeMap;

    #[test]
    fn it_tells_from_where_to_where_and_what_the_database_says_otherwise() {
        let report = |feed, held: u64, is_taken| FeedReport { feed, from: (Epoch(1), Generation(4)), held: (Epoch(1), Generation(held)), is_taken, rows: 12 };
        let feeds = vec![report(Feed::ZONE, 6, true), report(Feed::ACCESS, 4, false)];
        let lines = vec![Line { sign: Sign::Gone, text: "lost.uni.example. A 10.1.4.234".to_owned() }];
        let differences = BTreeMap::from([(Feed::ZONE, Difference { rows: 1, lines, keys: vec![] })]);
        let text = told(&Adopted { feeds, differences, notes: vec!["a note".to_owned()] });
        let head = "zone         1.4 -> 1.6, 12 rows\nauth-access  1.4 stays, the agent holds 1.4, 12 rows\na note\n\
                    The database says otherwise of 1 rows of zone (- would go, + would come):\n- lost.uni.example. A 10.1.4.234\nNothing is published";
        assert!(text.starts_with(head), "{text}");
    }
}
