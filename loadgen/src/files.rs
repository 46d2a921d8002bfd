//! Open files: whether a run may have as many as its connections need is told before it begins, not when the last of them fail.

use anyhow::bail;

use crate::figures::count;

/// Files of a process besides its connections: listeners, timers, what wakes its threads, logs.
const OTHERS: u64 = 100;

/// Whether this process may open the files that so many connections of these need: one each, and where their other ends are in
/// it too, two. `inside` is none where they are not, and else says what can be done about it.
///
/// # Errors
/// It may not.
pub(crate) fn suffice(who: &str, connections: u64, inside: Option<&str>) -> anyhow::Result<()> {
    within(service::process::raise_file_limit(), who, connections, inside)
}

fn within(limit: Option<u64>, who: &str, connections: u64, inside: Option<&str>) -> anyhow::Result<()> {
    let ends = if inside.is_some() { 2 } else { 1 };
    let needed = connections.saturating_mul(ends).saturating_add(OTHERS);
    let Some(limit) = limit.filter(|limit| *limit < needed) else { return Ok(()) };
    let (connections, needed, limit) = (count(connections), count(needed), count(limit));
    let or = inside.map(|way| format!(", or {way}")).unwrap_or_default();
    bail!("{connections} {who} need {needed} files, the limit is {limit}: raise it (ulimit -Hn){or}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_of_a_connection_in_this_process_is_a_file() {
        let refused = |limit, connections, inside| {
            within(limit, "subscribers", connections, inside).err().map(|error| error.to_string())
        };
        let feed = Some("let a feed of its own serve them (--feed)");
        assert_eq!(
            refused(Some(20_000), 10_000, feed).unwrap(),
            "10,000 subscribers need 20,100 files, the limit is 20,000: raise it (ulimit -Hn), \
             or let a feed of its own serve them (--feed)"
        );
        assert_eq!(refused(Some(20_100), 10_000, feed), None);
        assert_eq!(refused(Some(20_000), 10_000, None), None, "their other ends are elsewhere");
        assert_eq!(
            refused(Some(10_099), 10_000, None).unwrap(),
            "10,000 subscribers need 10,100 files, the limit is 10,099: raise it (ulimit -Hn)"
        );
        assert_eq!(refused(None, u64::MAX, feed), None, "there is no limit");
        assert!(refused(Some(u64::MAX - 1), u64::MAX, feed).is_some());
    }
}
