//! What a subscriber asks for, checked: from the request on the wire to a filter of the log.

use crate::securities::{Origin, Securities};
use flow::Filter;
use wire::szse::ext::{MarketDataRequest, RequestStatus, SlowReaderPolicy, SubscriptionMode};

/// What one subscription may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Securities in one subscription, at most.
    pub securities_max: usize,
    /// Channels in one subscription, at most.
    pub channels_max: usize,
}

/// What happens when the window no longer holds what a subscriber should be sent next, or before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowReader {
    /// It is logged out.
    Disconnect,
    /// It goes on from what is held, after a notice of what it missed.
    Skip,
    /// It gets the newest snapshot of each security and goes on from the present, after a notice of what it missed.
    Conflate,
    /// It gets the newest snapshot of each security and nothing else, as datagrams.
    Datagrams,
    /// Each channel comes on a stream of its own, and goes on there from what is held, after a notice of what was missed.
    Streams,
}

/// A subscription that has a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Which entries of the log; `None` ends the subscription.
    pub filter: Option<Filter>,
    /// Channels that are to begin at a number, ascending by channel. All others begin with what comes now.
    pub starts: Vec<(u16, u64)>,
    /// What happens when it reads too slowly.
    pub slow_reader: SlowReader,
    /// The last snapshots first.
    pub want_snapshots: bool,
    /// Chosen by who asked.
    pub request_id: u32,
}

/// Why a request was not taken: the status for the answer, and a text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The mode has no meaning.
    #[error("unknown mode")]
    Mode,
    /// The policy has no meaning.
    #[error("unknown policy")]
    Policy,
    /// A list that the mode needs is empty, or one that it does not take is not.
    #[error("lists do not fit the mode")]
    Lists,
    /// A channel is named twice.
    #[error("channel named twice")]
    ChannelTwice,
    /// A number below 0.
    #[error("number below 0")]
    Number,
    /// A channel is to begin at a number, where there are none.
    #[error("datagrams have no numbers to begin at")]
    NoNumbers,
    /// The connection has no datagrams.
    #[error("no datagrams over this connection")]
    NoDatagrams,
    /// Streams that do not name their channels.
    #[error("streams are for named channels")]
    NoChannels,
    /// The connection has no streams beside its own.
    #[error("no streams over this connection")]
    NoStreams,
    /// Too many channels for as many streams, or the peer takes no more now.
    #[error("too many streams")]
    TooManyStreams,
    /// Too many securities or channels.
    #[error("too many securities or channels")]
    TooMany,
    /// There is no room for one more security that nobody has heard of, or it has no name.
    #[error("unknown security")]
    UnknownSecurity,
    /// More than the account has a right to.
    #[error("{0}")]
    NotEntitled(&'static str),
}

impl RequestError {
    /// The status on the wire.
    pub fn status(self) -> RequestStatus {
        match self {
            Self::Mode
            | Self::Policy
            | Self::Lists
            | Self::ChannelTwice
            | Self::Number
            | Self::NoNumbers
            | Self::NoChannels => RequestStatus::INVALID,
            Self::NoDatagrams | Self::NoStreams => RequestStatus::POLICY_UNSUPPORTED,
            Self::TooMany | Self::TooManyStreams => RequestStatus::TOO_MANY,
            Self::UnknownSecurity => RequestStatus::UNKNOWN_SECURITY,
            Self::NotEntitled(_) => RequestStatus::NOT_ENTITLED,
        }
    }
}

impl Subscription {
    /// Everything from now on: what a session receives that asks for nothing, where it is configured so.
    pub fn everything() -> Self {
        Self {
            filter: Some(Filter::All),
            starts: Vec::new(),
            slow_reader: SlowReader::Disconnect,
            want_snapshots: true,
            request_id: 0,
        }
    }

    /// Checks a request.
    ///
    /// # Errors
    /// See [`RequestError`]. The subscription before it stands then.
    pub fn parse(
        request: &MarketDataRequest<'_>,
        limits: &Limits,
        securities: &mut Securities,
    ) -> Result<Self, RequestError> {
        let too_many =
            request.channels.len() > limits.channels_max || request.securities.len() > limits.securities_max;
        if too_many {
            return Err(RequestError::TooMany);
        }
        let starts = starts(request)?;
        let (channels, named) = (!request.channels.is_empty(), !request.securities.is_empty());
        let filter = match request.head.mode {
            SubscriptionMode::NONE if !channels && !named => None,
            SubscriptionMode::ALL if !named => Some(Filter::All),
            SubscriptionMode::CHANNELS if channels && !named => {
                Some(Filter::lanes(request.channels.iter().map(|start| start.channel_no.get())))
            }
            SubscriptionMode::SECURITIES if named => Some(keys(request, securities)?),
            SubscriptionMode::NONE
            | SubscriptionMode::ALL
            | SubscriptionMode::CHANNELS
            | SubscriptionMode::SECURITIES => return Err(RequestError::Lists),
            _ => return Err(RequestError::Mode),
        };
        let slow_reader = match request.head.policy {
            SlowReaderPolicy::DISCONNECT => SlowReader::Disconnect,
            SlowReaderPolicy::SKIP_WITH_NOTICE => SlowReader::Skip,
            SlowReaderPolicy::CONFLATE => SlowReader::Conflate,
            SlowReaderPolicy::DATAGRAMS if !starts.is_empty() => return Err(RequestError::NoNumbers),
            SlowReaderPolicy::DATAGRAMS => SlowReader::Datagrams,
            SlowReaderPolicy::STREAMS if request.head.mode != SubscriptionMode::CHANNELS => {
                return Err(RequestError::NoChannels);
            }
            SlowReaderPolicy::STREAMS => SlowReader::Streams,
            _ => return Err(RequestError::Policy),
        };
        let (want_snapshots, request_id) = (request.head.want_snapshots != 0, request.head.request_id.get());
        Ok(Self { filter, starts, slow_reader, want_snapshots, request_id })
    }

    /// The channels that are to come on streams of their own.
    pub fn streams(&self) -> &[u16] {
        match (&self.filter, self.slow_reader) {
            (Some(filter), SlowReader::Streams) => filter.named_lanes(),
            _ => &[],
        }
    }
}

/// The channels that begin at a number, ascending.
fn starts(request: &MarketDataRequest<'_>) -> Result<Vec<(u16, u64)>, RequestError> {
    let mut starts = Vec::with_capacity(request.channels.len());
    for start in request.channels {
        let number = u64::try_from(start.next_appl_seq_num.get()).map_err(|_| RequestError::Number)?;
        starts.push((start.channel_no.get(), number));
    }
    starts.sort_unstable();
    if starts.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(RequestError::ChannelTwice);
    }
    starts.retain(|(_, number)| *number != 0);
    Ok(starts)
}

fn keys(request: &MarketDataRequest<'_>, securities: &mut Securities) -> Result<Filter, RequestError> {
    let keys = request.securities.iter().map(|security| {
        let (id, source) = (&security.security_id, &security.security_id_source);
        let named = !id.is_blank() && id.as_str().is_some() && source.as_str().is_some();
        let key = if named { securities.key(id, source, Origin::Subscriber) } else { None };
        key.ok_or(RequestError::UnknownSecurity)
    });
    let keys: Vec<u32> = keys.collect::<Result<_, _>>()?;
    Ok(match keys[..] {
        [key] => Filter::Key(key),
        _ => Filter::Keys(keys.into_iter().collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::securities::Directory;
    use wire::szse::ext::{ChannelStart, RequestHead, Security};
    use wire::szse::{I64, SecurityId, Text, U16, U32};

    const LIMITS: Limits = Limits { securities_max: 3, channels_max: 2 };

    fn channel(channel: u16, next: i64) -> ChannelStart {
        ChannelStart { channel_no: U16::new(channel), next_appl_seq_num: I64::new(next) }
    }

    fn security(id: &'static str) -> Security {
        Security { security_id: SecurityId::literal(id), security_id_source: Text::literal("102") }
    }

    fn parse(
        mode: SubscriptionMode,
        channels: &[ChannelStart],
        securities: &[Security],
    ) -> Result<Subscription, RequestError> {
        let head = RequestHead {
            request_id: U32::new(1),
            mode,
            policy: SlowReaderPolicy::DISCONNECT,
            want_snapshots: 0,
        };
        let request = MarketDataRequest { head, channels, securities };
        Subscription::parse(&request, &LIMITS, &mut Securities::new(Directory::new(8)))
    }

    fn filter(subscription: Result<Subscription, RequestError>) -> Option<Filter> {
        subscription.unwrap().filter
    }

    #[test]
    fn each_mode_becomes_a_filter() {
        assert_eq!(filter(parse(SubscriptionMode::NONE, &[], &[])), None);
        assert_eq!(filter(parse(SubscriptionMode::ALL, &[], &[])), Some(Filter::All));
        let lanes = parse(SubscriptionMode::CHANNELS, &[channel(2, 0), channel(1, 9)], &[]).unwrap();
        assert_eq!(lanes.filter, Some(Filter::lanes([1, 2])));
        assert_eq!(lanes.starts, [(1, 9)]);
        let one = parse(SubscriptionMode::SECURITIES, &[], &[security("000001")]);
        assert_eq!(filter(one), Some(Filter::Key(1)));
        let two = parse(SubscriptionMode::SECURITIES, &[], &[security("000001"), security("000002")]);
        assert_eq!(filter(two), Some(Filter::Keys([1, 2].into_iter().collect())));
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        let (one, id) = ([channel(1, 1)], [security("000001")]);
        let status = |mode, channels: &[_], securities: &[_]| parse(mode, channels, securities).unwrap_err();
        assert_eq!(status(SubscriptionMode::from_raw(9), &[], &[]), RequestError::Mode);
        assert_eq!(status(SubscriptionMode::NONE, &one, &[]), RequestError::Lists);
        assert_eq!(status(SubscriptionMode::ALL, &[], &id), RequestError::Lists);
        assert_eq!(status(SubscriptionMode::CHANNELS, &[], &[]), RequestError::Lists);
        assert_eq!(status(SubscriptionMode::SECURITIES, &one, &[]), RequestError::Lists);
        assert_eq!(status(SubscriptionMode::ALL, &[channel(1, -1)], &[]), RequestError::Number);
        let twice = [channel(1, 1), channel(1, 0)];
        assert_eq!(status(SubscriptionMode::ALL, &twice, &[]), RequestError::ChannelTwice);
        let three = [channel(1, 1), channel(2, 1), channel(3, 1)];
        assert_eq!(status(SubscriptionMode::ALL, &three, &[]), RequestError::TooMany);
        assert_eq!(status(SubscriptionMode::SECURITIES, &[], &[security("1"); 4]), RequestError::TooMany);
        let blank = [security("")];
        assert_eq!(status(SubscriptionMode::SECURITIES, &[], &blank), RequestError::UnknownSecurity);
    }

    #[test]
    fn a_directory_that_is_full_knows_no_more() {
        let head = RequestHead {
            mode: SubscriptionMode::SECURITIES,
            policy: SlowReaderPolicy::DISCONNECT,
            ..Default::default()
        };
        let ids = [security("000001"), security("000002")];
        let request = MarketDataRequest { head, channels: &[], securities: &ids };
        let mut securities = Securities::new(Directory::new(2));
        let refused = Subscription::parse(&request, &LIMITS, &mut securities);
        assert_eq!(refused, Err(RequestError::UnknownSecurity));
    }

    #[test]
    fn each_policy_is_known_and_what_is_none_is_refused() {
        let head = |policy| RequestHead { mode: SubscriptionMode::ALL, policy, ..Default::default() };
        let parse = |policy| {
            let request = MarketDataRequest { head: head(policy), channels: &[], securities: &[] };
            Subscription::parse(&request, &LIMITS, &mut Securities::new(Directory::new(8)))
        };
        assert_eq!(parse(SlowReaderPolicy::from_raw(0)).unwrap_err(), RequestError::Policy);
        assert_eq!(parse(SlowReaderPolicy::from_raw(6)).unwrap_err(), RequestError::Policy);
        assert_eq!(parse(SlowReaderPolicy::STREAMS).unwrap_err(), RequestError::NoChannels);
        let policy = |policy| parse(policy).unwrap().slow_reader;
        assert_eq!(policy(SlowReaderPolicy::DISCONNECT), SlowReader::Disconnect);
        assert_eq!(policy(SlowReaderPolicy::SKIP_WITH_NOTICE), SlowReader::Skip);
        assert_eq!(policy(SlowReaderPolicy::CONFLATE), SlowReader::Conflate);
        assert_eq!(policy(SlowReaderPolicy::DATAGRAMS), SlowReader::Datagrams);
        let (head, channels) = (head(SlowReaderPolicy::DATAGRAMS), [channel(1, 9)]);
        let numbered = MarketDataRequest { head, channels: &channels, securities: &[] };
        let refused = Subscription::parse(&numbered, &LIMITS, &mut Securities::new(Directory::new(8)));
        assert_eq!(refused.unwrap_err(), RequestError::NoNumbers);
    }
}
