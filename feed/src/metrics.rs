//! Everything that a feed counts, with its meaning.

use crate::app::name_of;
use crate::arbiter;
use crate::config;
use crate::content;
use crate::delay;
use crate::ingest;
use crate::view::View;
use service::prometheus::{IntCounter, IntCounterVec, IntGauge};
use shard::Reason;

service::metrics! {
    /// Everything that a feed counts.
    pub struct Metrics {
        /// Whether a source is connected and logged on, by source.
        source_up: IntGaugeVec = "feed_source_up" ["source"],
        /// Since a source said something last, if only a heartbeat, milliseconds; since the feed's start before the first.
        source_message_age_ms: IntGaugeVec = "feed_source_message_age_ms" ["source"],
        /// Since a source brought a quote last, milliseconds.
        source_quote_age_ms: IntGaugeVec = "feed_source_quote_age_ms" ["source"],
        /// Our clock less the times in a source's quotes as they arrive: the least of each second, smoothed, microseconds. The
        /// difference of the clocks and the shortest way together; quotes of another day do not count.
        source_skew_us: IntGaugeVec = "feed_source_skew_us" ["source"],
        /// Sessions opened with a source.
        source_sessions: IntCounterVec = "feed_source_sessions_total" ["source"],
        /// Connections to a source that ended, and dials that failed, by reason.
        source_ended: IntCounterVec = "feed_source_ended_total" ["source", "reason"],
        /// Panics of a source of the door, which is run again after each.
        source_panics: IntCounterVec = "feed_source_panics_total" ["source"],
        /// Feeds between the exchange and this one over a source that is a feed; 0 when it is not there.
        relay_hops: IntGaugeVec = "feed_relay_hops" ["source"],
        /// From the sending of a source that is a feed to here, by the clocks of both, microseconds; looked at each second.
        relay_hop_delay_us: IntGaugeVec = "feed_relay_hop_delay_us" ["source"],
        /// The same over all feeds between the exchange and this one, microseconds.
        relay_delay_us: IntGaugeVec = "feed_relay_delay_us" ["source"],
        /// Frames that this source brought first.
        won: IntCounterVec = "feed_frames_won_total" ["source"],
        /// Frames of this source whose number was there before.
        duplicates: IntCounterVec = "feed_frames_duplicate_total" ["source"],
        /// Frames of this source that fell behind its own numbers: it began again, and is ignored.
        regressed: IntCounterVec = "feed_frames_regressed_total" ["source"],
        /// Resend requests made, by source.
        asked: IntCounterVec = "feed_resends_asked_total" ["source"],
        /// Resend requests that a source refused.
        cannot: IntCounterVec = "feed_resends_refused_total" ["source"],
        /// Operators' commands, and requests that were denied, by outcome.
        commands: IntCounterVec = "feed_operator_commands_total" ["outcome"],
        /// Frames that had to wait for a number before them, or for the primary.
        held: IntCounter = "feed_frames_held_total",
        /// Frames that found no room to wait, and are asked for again.
        no_room: IntCounter = "feed_frames_no_room_total",
        /// Channels in which numbers are missing now; what is behind them waits.
        open_gaps: IntGauge = "feed_gaps_open",
        /// Bytes of frames that wait now, for a number before them or for the primary.
        held_bytes: IntGauge = "feed_held_bytes",
        /// Numbers too far ahead to be believed.
        implausible: IntCounter = "feed_numbers_implausible_total",
        /// Numbers below 0.
        bad_number: IntCounter = "feed_numbers_negative_total",
        /// Frames of channels beyond the limit.
        channel_refused: IntCounter = "feed_channels_refused_total",
        /// Holes that opened in a channel.
        gaps: IntCounter = "feed_gaps_total",
        /// Holes, or parts of them, declared lost.
        gaps_lost: IntCounter = "feed_gaps_lost_total",
        /// Numbers declared lost.
        numbers_lost: IntCounter = "feed_numbers_lost_total",
        /// Channels that left the primary (standby).
        failovers: IntCounter = "feed_failovers_total",
        /// Channels that went back to the primary (standby).
        returns: IntCounter = "feed_returns_total",
        /// Whether the source with numbers of its own is used, because no other lives.
        own_in_use: IntGauge = "feed_own_in_use",
        /// Messages of the source with numbers of its own, by what became of them (docs/operations.md).
        own_messages: IntCounterVec = "feed_own_messages_total" ["outcome"],
        /// Times that the source with numbers of its own was used, and used no more.
        own_switches: IntCounterVec = "feed_own_switches_total" ["to"],
        /// Times that a channel of the source with numbers of its own was numbered from anew.
        own_restarts: IntCounter = "feed_own_restarts_total",
        /// Messages of sources of a type that is not passed on.
        unknown_type: IntCounter = "feed_source_messages_unknown_total",
        /// Snapshots by what became of them.
        snapshots: IntCounterVec = "feed_snapshots_total" ["outcome"],
        /// Frames of securities for which the directory has no room.
        no_key: IntCounter = "feed_frames_without_key_total",
        /// Entries appended to the log.
        appended: IntCounter = "feed_log_entries_total",
        /// Entries that a shard other than the first missed because it was too slow.
        missed: IntCounter = "feed_log_entries_missed_total",
        /// Bytes of snapshots held for who comes late, on all shards.
        snapshot_bytes: IntGauge = "feed_snapshot_bytes",

        /// Whether the bus on which quotes are published takes them: it is asked at least once a second, and has to say so in time.
        bus_up: IntGauge = "feed_bus_up",
        /// Entries of the log that the bus has taken.
        bus_entries: IntCounter = "feed_bus_entries_total",
        /// Entries of the log that the bus has not taken yet.
        bus_behind: IntGauge = "feed_bus_behind_entries",
        /// Entries of the log that were let go of before the bus took them: it was told a gap.
        bus_missed: IntCounter = "feed_bus_missed_total",
        /// Batches that the bus did not confirm, and that were published again.
        bus_batches_again: IntCounter = "feed_bus_batches_again_total",
        /// Questions for numbers that came over the bus, by outcome.
        bus_asked: IntCounterVec = "feed_bus_asked_total" ["outcome"],
        /// Times that the client dropped messages of a bus because this source was too slow.
        bus_dropped: IntCounter = "feed_bus_dropped_total",
        /// Messages of a bus that are no quotes.
        bus_bad: IntCounter = "feed_bus_bad_total",

        /// Whether what memory no longer holds is retained on disk.
        retention_on: IntGauge = "feed_retention_on",
        /// Entries of the log written to disk, or passed over there.
        retention_entries: IntCounter = "feed_retention_entries_total",
        /// Bytes of the files of retention.
        retention_bytes: IntGauge = "feed_retention_bytes",
        /// Times that retention stopped: the disk took no more, or was too slow. Until the feed is started again.
        retention_stopped: IntCounter = "feed_retention_stopped_total",
        /// Times that what was on disk was discarded at the start: of another day, or damaged.
        retention_discarded: IntCounter = "feed_retention_discarded_total",
        /// Pieces of what is retained given to subscribers.
        retention_pieces: IntCounter = "feed_retention_pieces_total",
        /// Subscribers that were to read from disk and could not, by reason.
        retention_refused: IntCounterVec = "feed_retention_refused_total" ["reason"],

        /// Subscribers logged on now.
        subscribers: IntGauge = "feed_subscribers",
        /// Connections accepted.
        accepted: IntCounter = "feed_connections_accepted_total",
        /// Connections of balancers, which begin with a PROXY header, by outcome. client: for a client, whose address it has; local: the balancer's own, or for nobody that is named; left: closed without a byte; malformed: something else came; timed_out: no header in time; refused: too many headers were awaited.
        proxy_headers: IntCounterVec = "feed_proxy_headers_total" ["outcome"],
        /// Connections closed at once because as many as are allowed were open.
        refused_full: IntCounter = "feed_connections_refused_total",
        /// Errors of accepting, such as file limits.
        accept_errors: IntCounter = "feed_accept_errors_total",
        /// Subscribers' connections that ended, by reason.
        subscriber_ended: IntCounterVec = "feed_subscriber_ended_total" ["reason"],
        /// Messages of subscribers of a type that means nothing here.
        subscriber_unknown: IntCounter = "feed_subscriber_messages_unknown_total",
        /// Subscription requests by the status of their answer.
        requests: IntCounterVec = "feed_requests_total" ["status"],
        /// Resend requests of subscribers by the status of their answer.
        resends: IntCounterVec = "feed_subscriber_resends_total" ["status"],
        /// Frames sent again to subscribers.
        resent_frames: IntCounter = "feed_subscriber_resent_frames_total",
        /// Streams open now that carry one channel each.
        channel_streams: IntGauge = "feed_channel_streams",
        /// Slow readers that were moved on, with a notice of what they missed.
        skipped: IntCounter = "feed_subscriber_skips_total",
        /// Logons refused for want of a right, by reason.
        rights_refused: IntCounterVec = "feed_logons_not_entitled_total" ["reason"],
        /// Sessions whose account's right changed while they were open, by what became of them.
        rights_changed: IntCounterVec = "feed_rights_changed_total" ["outcome"],
        /// Times that the file of rights was loaded again, by outcome.
        rights_loaded: IntCounterVec = "feed_rights_loaded_total" ["outcome"],
        /// Slow readers that left the log for the newest snapshots.
        conflated: IntCounter = "feed_subscriber_conflations_total",
        /// Snapshots sent as datagrams.
        datagrams: IntCounter = "feed_datagrams_total",
        /// Of these, those that were sent once more, as the newest of a quiet security.
        datagrams_refreshed: IntCounter = "feed_datagrams_refreshed_total",
        /// Snapshots too long for a datagram, which went by the stream.
        datagrams_too_long: IntCounter = "feed_datagrams_too_long_total",
        /// Times that the way to a reader took no more datagrams: what was left out is overtaken by what is newer.
        datagrams_full: IntCounter = "feed_datagrams_full_total",
        /// Snapshots given to slow readers in place of what they left out.
        conflated_snapshots: IntCounter = "feed_subscriber_conflated_snapshots_total",
        /// Bytes of snapshots that wait for who sees them late.
        delayed_bytes: IntGauge = "feed_delayed_bytes",
        /// Snapshots that found no room to wait for who sees them late.
        delayed_dropped: IntCounter = "feed_delayed_dropped_total",
        /// Entries of the log that were let go before they were looked at for who sees them late.
        delayed_missed: IntCounter = "feed_delayed_missed_total",
        /// Bytes read from sources and subscribers.
        bytes_in: IntCounter = "feed_bytes_in_total",
        /// Bytes written to sources and subscribers.
        bytes_out: IntCounter = "feed_bytes_out_total",
        /// Writes that a socket did not take whole.
        writes_blocked: IntCounter = "feed_writes_blocked_total",
    }
}

/// Carries a shard's own counts over to the metrics: the hot path counts in plain integers, and this adds what is new
/// once a tick.
pub(crate) struct Exporter {
    metrics: Metrics,
    stats: shard::Stats,
    ingest: ingest::Counters,
    appended: u64,
    arbiter: arbiter::Counters,
    own: (content::Counters, ingest::OwnCounters),
    snapshot_bytes: i64,
    delayed: delay::Counters,
    /// Of each source: won, duplicates, regressed, asked, cannot.
    sources: Vec<[IntCounter; 5]>,
    /// Of each source: ages of the last message and the last quote.
    ages: Vec<[IntGauge; 2]>,
    names: Vec<String>,
}

impl Exporter {
    pub(crate) fn new(metrics: Metrics, sources: &[config::Source]) -> Self {
        // Growth is seen of a series that is there: one that began with the first slow reader would hide it from the alert.
        metrics.subscriber_ended.with_label_values(&[name_of(Reason::Overrun)]);
        let of_source = |source: &config::Source| {
            let vecs =
                [&metrics.won, &metrics.duplicates, &metrics.regressed, &metrics.asked, &metrics.cannot];
            vecs.map(|vec| vec.with_label_values(&[source.name.as_str()]))
        };
        let ages = |source: &config::Source| {
            [&metrics.source_message_age_ms, &metrics.source_quote_age_ms]
                .map(|vec| vec.with_label_values(&[source.name.as_str()]))
        };
        let ages = sources.iter().map(ages).collect();
        let names = sources.iter().map(|source| source.name.clone()).collect();
        let sources = sources.iter().map(of_source).collect();
        Self {
            metrics,
            stats: shard::Stats::default(),
            ingest: ingest::Counters::default(),
            appended: 0,
            arbiter: arbiter::Counters::default(),
            own: Default::default(),
            snapshot_bytes: 0,
            delayed: delay::Counters::default(),
            sources,
            ages,
            names,
        }
    }

    /// What every shard counts.
    pub(crate) fn shard(&mut self, stats: shard::Stats, view: &View) {
        let (metrics, before) = (&self.metrics, std::mem::replace(&mut self.stats, stats));
        metrics.accepted.inc_by(stats.accepted - before.accepted);
        metrics.refused_full.inc_by(stats.refused_full - before.refused_full);
        metrics.accept_errors.inc_by(stats.accept_errors - before.accept_errors);
        metrics.bytes_in.inc_by(stats.bytes_in - before.bytes_in);
        metrics.bytes_out.inc_by(stats.bytes_out - before.bytes_out);
        metrics.writes_blocked.inc_by(stats.writes_blocked - before.writes_blocked);
        let bytes = view.snapshots.bytes() as i64;
        metrics.snapshot_bytes.add(bytes - std::mem::replace(&mut self.snapshot_bytes, bytes));
    }

    /// What waits for who sees it late.
    pub(crate) fn delayed(&mut self, now: delay::Counters) {
        let before = std::mem::replace(&mut self.delayed, now);
        self.metrics.delayed_bytes.set(now.bytes as i64);
        self.metrics.delayed_dropped.inc_by(now.dropped - before.dropped);
        self.metrics.delayed_missed.inc_by(now.missed - before.missed);
    }

    /// What the shard with the sources counts.
    pub(crate) fn ingest(&mut self, ingest: &ingest::Ingest, now_ns: u64) {
        let (metrics, now) = (&self.metrics, ingest.filing.counters);
        let before = std::mem::replace(&mut self.ingest, now);
        metrics.appended.inc_by(
            ingest.filing.notes.appended
                - std::mem::replace(&mut self.appended, ingest.filing.notes.appended),
        );
        metrics.unknown_type.inc_by(now.unknown_type - before.unknown_type);
        metrics.bad_number.inc_by(now.bad_number - before.bad_number);
        metrics.no_key.inc_by(now.no_key - before.no_key);
        let snapshots = |outcome, count| metrics.snapshots.with_label_values(&[outcome]).inc_by(count);
        snapshots("newest", now.snapshots_newest - before.snapshots_newest);
        snapshots("not kept", now.snapshots_not_kept - before.snapshots_not_kept);
        snapshots("duplicate", now.snapshots_duplicate - before.snapshots_duplicate);
        snapshots("no place", now.snapshots_no_place - before.snapshots_no_place);
        metrics.open_gaps.set(ingest.filing.arbiter.open_gaps() as i64);
        metrics.held_bytes.set(ingest.filing.arbiter.held_bytes() as i64);
        self.arbiter(ingest.filing.arbiter.counters());
        if let Some(own) = &ingest.filing.notes.own {
            self.own(own);
        }
        for (index, pulse) in ingest.filing.pulses.iter().enumerate() {
            let [message_age_ms, quote_age_ms] = &self.ages[index];
            message_age_ms.set(pulse.message_age_ms(now_ns) as i64);
            quote_age_ms.set(pulse.quote_age_ms(now_ns) as i64);
            if let Some(skew_us) = pulse.skew_us() {
                self.metrics.source_skew_us.with_label_values(&[self.names[index].as_str()]).set(skew_us);
            }
        }
    }

    fn own(&mut self, own: &ingest::Own) {
        let now = (own.matcher.counters, own.counters);
        let before = std::mem::replace(&mut self.own, now);
        self.metrics.own_in_use.set(own.matcher.in_use().into());
        let count =
            |vec: &IntCounterVec, label: &str, count: u64| vec.with_label_values(&[label]).inc_by(count);
        let messages = |outcome, number| count(&self.metrics.own_messages, outcome, number);
        messages("matched", now.0.matched - before.0.matched);
        messages("published", now.0.published - before.0.published);
        messages("doubled", now.0.doubled - before.0.doubled);
        messages("unmatched", now.0.unmatched - before.0.unmatched);
        messages("no room", now.0.no_room - before.0.no_room);
        messages("missing", now.1.missing - before.1.missing);
        messages("again", now.1.again - before.1.again);
        messages("refused", now.1.refused - before.1.refused);
        messages("not believed", now.1.unbelieved - before.1.unbelieved);
        self.metrics.own_restarts.inc_by(now.1.restarts - before.1.restarts);
        count(&self.metrics.own_switches, "own", now.0.takeovers - before.0.takeovers);
        count(&self.metrics.own_switches, "exchange", now.0.returns - before.0.returns);
    }

    fn arbiter(&mut self, now: &arbiter::Counters) {
        let (metrics, before) = (&self.metrics, std::mem::replace(&mut self.arbiter, *now));
        metrics.held.inc_by(now.held - before.held);
        metrics.no_room.inc_by(now.no_room - before.no_room);
        metrics.implausible.inc_by(now.implausible - before.implausible);
        metrics.channel_refused.inc_by(now.channel_refused - before.channel_refused);
        metrics.gaps.inc_by(now.gaps - before.gaps);
        metrics.gaps_lost.inc_by(now.gaps_lost - before.gaps_lost);
        metrics.numbers_lost.inc_by(now.numbers_lost - before.numbers_lost);
        metrics.failovers.inc_by(now.failovers - before.failovers);
        metrics.returns.inc_by(now.returns - before.returns);
        for (index, [won, duplicates, regressed, asked, cannot]) in self.sources.iter().enumerate() {
            won.inc_by(now.won[index] - before.won[index]);
            duplicates.inc_by(now.duplicates[index] - before.duplicates[index]);
            regressed.inc_by(now.regressed[index] - before.regressed[index]);
            asked.inc_by(now.asked[index] - before.asked[index]);
            cannot.inc_by(now.cannot[index] - before.cannot[index]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_alert_watches_grow_is_there_from_the_start() {
        let registry = service::prometheus::Registry::new();
        let _exporter = Exporter::new(Metrics::register(&registry).unwrap(), &[]);
        let text = service::metrics::text(&registry);
        assert!(text.contains("feed_subscriber_ended_total{reason=\"slow reader\"} 0"), "{text}");
    }
}
