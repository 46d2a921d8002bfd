//! Open files: whether a run may have as many as its connections need is told before it begins, not when the last of them fail.

use anyhow::bail;

use crate::figures::count;

/// Files of a process besides its connections: listeners, timers, what wakes its threads, logs.
const OTHERS: u64 = 100;

/// What a run has many of, how many there are, and how many files of a process each takes.
pub(crate) type Need = (&'static str, u64, u64);

/// Whether this process may open the files that so many connections of these need: one each, and where their other ends are in
/// it too, two. `inside` is none where they are not, and else says what can be done about it.
///
/// # Errors
/// It may not.
pub(crate) fn suffice(who: &'static str, connections: u64, inside: Option<&str>) -> anyhow::Result<()> {
    let ends = if inside.is_some() { 2 } else { 1 };
    all_suffice(&[(who, connections, ends)], inside)
}

/// Whether a process may open the files that all of these need: this one, or one that it starts, which has the same limit. `or`
/// says what can be done about it but to raise that.
///
/// # Errors
/// It may not.
pub(crate) fn all_suffice(needs: &[Need], or: Option<&str>) -> anyhow::Result<()> {
    within(service::process::raise_file_limit(), needs, or)
}

fn within(limit: Option<u64>, needs: &[Need], or: Option<&str>) -> anyhow::Result<()> {
    let files = needs.iter().map(|(_, number, each)| number.saturating_mul(*each));
    let needed = files.fold(OTHERS, u64::saturating_add);
    let Some(limit) = limit.filter(|limit| *limit < needed) else { return Ok(()) };
    let there = needs.iter().filter(|(_, number, _)| *number > 0);
    let told: Vec<String> = there.map(|(who, number, _)| format!("{} {who}", count(*number))).collect();
    let (told, needed, limit) = (told.join(", "), count(needed), count(limit));
    let or = or.map(|way| format!(", or {way}")).unwrap_or_default();
    bail!("{told} need {needed} files, the limit is {limit}: raise it (ulimit -Hn){or}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_of_a_connection_in_this_process_is_a_file() {
        let refused = |limit, connections, inside: Option<&str>| {
            let ends = if inside.is_some() { 2 } else { 1 };
            let refused = within(limit, &[("subscribers", connections, ends)], inside).err();
            refused.map(|error| error.to_string())
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

    #[test]
    fn all_that_a_run_has_many_of_is_counted_and_named() {
        let needs = [("order sessions", 100, 4), ("handshakes under way", 0, 2), ("subscribers", 1_000, 2)];
        assert!(within(Some(2_500), &needs, None).is_ok());
        assert_eq!(
            within(Some(2_499), &needs, Some("have fewer")).unwrap_err().to_string(),
            "100 order sessions, 1,000 subscribers need 2,500 files, the limit is 2,499: \
             raise it (ulimit -Hn), or have fewer"
        );
    }
}
