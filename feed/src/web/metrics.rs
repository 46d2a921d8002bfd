//! Everything that the port for browsers counts, with its meaning.

service::metrics! {
    /// Everything that the port for browsers counts.
    pub(crate) struct Metrics {
        /// Browsers with a WebSocket open now.
        browsers: IntGauge = "feed_web_browsers",
        /// Connections accepted on the browsers' port.
        accepted: IntCounter = "feed_web_connections_accepted_total",
        /// Connections and requests that were refused, by reason.
        refused: IntCounterVec = "feed_web_refused_total" ["reason"],
        /// Browsers' messages that were answered with an error, by its code.
        errors: IntCounterVec = "feed_web_errors_total" ["code"],
        /// WebSockets that ended, by reason.
        ended: IntCounterVec = "feed_web_ended_total" ["reason"],
        /// Messages written to browsers.
        sent: IntCounter = "feed_web_messages_sent_total",
        /// Bytes of messages written to browsers.
        sent_bytes: IntCounter = "feed_web_bytes_sent_total",
        /// Entries of the log that were gone before the browsers' thread had read them.
        missed: IntCounter = "feed_web_log_entries_missed_total",
        /// Frames of securities for which the browsers' state has no room.
        no_room: IntCounter = "feed_web_frames_without_room_total",
    }
}
