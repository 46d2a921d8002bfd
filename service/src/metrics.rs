//! Metrics: each server declares all of its own in one place, with their meaning.
//!
//! ```
//! service::metrics! {
//!     /// What the balancer counts.
//!     pub struct Metrics {
//!         /// Connections accepted from clients.
//!         accepted: IntCounter = "slb_connections_accepted_total",
//!         /// Connections open now, by backend.
//!         open: IntGaugeVec = "slb_connections_open" ["pool", "backend"],
//!         /// How long a connect to a backend took, in seconds.
//!         connect: Histogram = "slb_connect_seconds" [0.001, 0.01, 0.1, 1.0],
//!     }
//! }
//! let registry = service::prometheus::Registry::new();
//! let metrics = Metrics::register(&registry).unwrap();
//! metrics.accepted.inc();
//! metrics.open.with_label_values(&["gateways", "a"]).set(3);
//! assert!(service::metrics::text(&registry).contains("slb_connections_accepted_total 1"));
//! ```
//! The doc comment is both rustdoc and the HELP line. In brackets stand the label names of a `Vec`,
//! or the bucket bounds of a `Histogram`. A `Vec` is looked up once, when the labelled thing is
//! made, and the handle kept: looking up takes a lock. Threads that count at the same time share a
//! cache line: a hot loop counts in its own integers and adds them once a turn.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// Declares a struct of metrics and its `register`; see the [module](mod@crate::metrics).
#[macro_export]
macro_rules! metrics {
    (
        $(#[$outer:meta])*
        $vis:vis struct $Metrics:ident {
            $( $(#[doc = $help:literal])+ $field:ident : $Kind:ident = $name:literal $([$($detail:expr),+ $(,)?])? ),+ $(,)?
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug)]
        $vis struct $Metrics {
            $( $(#[doc = $help])+ pub $field: $crate::prometheus::$Kind, )+
        }

        impl $Metrics {
            /// Registers all of them in `registry`.
            ///
            /// # Errors
            /// When the registry already has one of the names.
            $vis fn register(
                registry: &$crate::prometheus::Registry,
            ) -> $crate::prometheus::Result<Self> {
                Ok(Self {
                    $( $field: <$crate::prometheus::$Kind as $crate::metrics::Declare<_>>::declare(
                        registry,
                        $name,
                        concat!($($help),+).trim(),
                        [$($($detail),+)?],
                    )?, )+
                })
            }
        }
    };
}

/// A kind of metric that [`metrics!`] can declare; `Detail` is what stands in its brackets.
pub trait Declare<Detail>: Sized {
    /// Makes the metric and registers it.
    ///
    /// # Errors
    /// When the registry already has the name.
    fn declare(registry: &Registry, name: &str, help: &str, detail: Detail) -> prometheus::Result<Self>;
}

fn registered<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> prometheus::Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

impl Declare<[(); 0]> for IntCounter {
    fn declare(registry: &Registry, name: &str, help: &str, _: [(); 0]) -> prometheus::Result<Self> {
        registered(registry, Self::new(name, help))
    }
}

impl Declare<[(); 0]> for IntGauge {
    fn declare(registry: &Registry, name: &str, help: &str, _: [(); 0]) -> prometheus::Result<Self> {
        registered(registry, Self::new(name, help))
    }
}

impl<const N: usize> Declare<[&str; N]> for IntCounterVec {
    fn declare(registry: &Registry, name: &str, help: &str, labels: [&str; N]) -> prometheus::Result<Self> {
        registered(registry, Self::new(Opts::new(name, help), &labels))
    }
}

impl<const N: usize> Declare<[&str; N]> for IntGaugeVec {
    fn declare(registry: &Registry, name: &str, help: &str, labels: [&str; N]) -> prometheus::Result<Self> {
        registered(registry, Self::new(Opts::new(name, help), &labels))
    }
}

impl<const N: usize> Declare<[f64; N]> for Histogram {
    fn declare(registry: &Registry, name: &str, help: &str, bounds: [f64; N]) -> prometheus::Result<Self> {
        registered(registry, Self::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec())))
    }
}

/// All metrics of `registry` in Prometheus' text format, as `/metrics` shows them.
#[must_use]
pub fn text(registry: &Registry) -> String {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut text) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => format!("# metrics could not be encoded: {error}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::metrics! {
        /// A sample.
        struct Sample {
            /// Things that
            /// happened.
            happened: IntCounter = "sample_happened_total",
            /// By kind.
            kinds: IntCounterVec = "sample_kinds_total" ["kind"],
            /// Seconds waited.
            waited: Histogram = "sample_waited_seconds" [0.1, 1.0],
        }
    }

    #[test]
    fn the_doc_comment_is_the_help_line() {
        let registry = Registry::new();
        let sample = Sample::register(&registry).unwrap();
        sample.happened.inc_by(2);
        sample.kinds.with_label_values(&["odd"]).inc();
        sample.waited.observe(0.5);
        let text = text(&registry);
        assert!(text.contains("# HELP sample_happened_total Things that happened.\n"), "{text}");
        assert!(text.contains("\nsample_happened_total 2\n"), "{text}");
        assert!(text.contains("sample_kinds_total{kind=\"odd\"} 1"), "{text}");
        assert!(text.contains("sample_waited_seconds_bucket{le=\"1\"} 1"), "{text}");
    }

    #[test]
    fn two_registries_in_one_process_stay_apart() {
        let (one, two) = (Registry::new(), Registry::new());
        Sample::register(&one).unwrap().happened.inc();
        Sample::register(&two).unwrap();
        assert!(text(&two).contains("\nsample_happened_total 0\n"));
        assert!(Sample::register(&one).is_err());
    }
}
