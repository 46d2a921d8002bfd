//! A matcher whose journal has no room on its disk: what it refuses, and what it must not.

use crate::server::{Matcher, config, gateway};
use crate::trading::order;
use std::path::{Path, PathBuf};
use std::process::Command;
use wire::szse::code::{OrdRejReason, OrdStatus, Side};
use wire::szse::trading::{BusinessReject, OrderReport};

/// A file system of this size, gone when dropped; `None` where this process may not make one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, bytes: u64) -> Option<Self> {
        let made = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(at)
            .output();
        if made.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("skipped: no small file system can be mounted here (root may)");
        None
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        assert!(std::fs::write(&ballast, vec![1; 1 << 20]).is_err(), "it is smaller than that");
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "unmounted");
    }
}

#[test]
fn an_order_that_is_in_the_core_is_not_refused_when_it_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), 256 << 10) else { return };
    let mut config = config();
    config.journal.directory = Some(folder.path().join("day"));
    let matcher = Matcher::with(config);
    let mut peer = gateway(matcher.cash, "GATEWAY", &[(1, 1), (2, 1)]);
    peer.send(&order(1, Side::BUY, 9_900));
    let first: OrderReport = peer.expect();
    let ballast = disk.fill();
    // The last page of the journal has some room yet.
    let mut number = 1;
    let refused = loop {
        number += 1;
        peer.send(&order(number, Side::BUY, 9_900));
        let answer = peer.next().unwrap();
        if let Some(refused) = answer.try_view::<BusinessReject>() {
            break refused;
        }
    };
    assert_eq!(refused.business_reject_text.to_string(), "journal cannot be written");
    assert_eq!(
        refused.ref_seq_num.get(),
        i64::try_from(number).unwrap() + 2,
        "behind the logon and the synchronization"
    );
    // As a gateway sends again what a dead line may have brought.
    peer.send(&order(1, Side::BUY, 9_900));
    peer.send(&order(number, Side::BUY, 9_900));
    let refused: BusinessReject = peer.expect();
    assert_eq!(
        refused.business_reject_ref_id,
        order(number, Side::BUY, 9_900).cl_ord_id,
        "nothing is said of the first"
    );
    std::fs::remove_file(ballast).unwrap();
    peer.send(&order(number, Side::BUY, 9_900));
    assert_eq!(peer.expect::<OrderReport>().ord_status, OrdStatus::NEW);
    peer.send(&order(1, Side::BUY, 9_900));
    let duplicate: OrderReport = peer.expect();
    assert_eq!(
        (duplicate.ord_rej_reason, duplicate.order_id),
        (OrdRejReason::DUPLICATE_ORDER, first.order_id)
    );
    let counters = matcher.counters_at_end();
    assert!(counters.contains("matcher_orders_repeated_total 1"), "{counters}");
    drop(disk);
}
